/* cluster.peers, cluster.listen and cluster.advertise, read together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cluster_addresses.h"

static enum error_code read_addresses(const char *node, const char *listen, const char *advertise,
                                      const char *peers, struct cluster_addresses *addresses,
                                      struct error *error)
{
    struct settings settings = {
        .cluster_node = node,
        .cluster_listen = listen,
        .cluster_advertise = advertise,
        .cluster_peers = peers,
    };
    return cluster_addresses_read(&settings, addresses, error);
}

static void test_own_entry_says_where_to_listen(void **unused)
{
    (void)unused;
    struct cluster_addresses addresses;
    struct error error;
    assert_int_equal(
        read_addresses("b", "", "", "a=10.0.0.1:7, b=10.0.0.2:8,c=c.example:9", &addresses, &error),
        ERROR_NONE);
    assert_int_equal(addresses.peer_count, 3);
    assert_string_equal(addresses.peers[1].name, "b");
    assert_string_equal(addresses.peers[2].address, "c.example:9");
    assert_string_equal(addresses.listen, "10.0.0.2:8");
    assert_string_equal(addresses.advertise, "10.0.0.2:8");
    cluster_addresses_clear(&addresses);
}

static void test_a_name_is_advertised_and_its_port_bound_everywhere(void **unused)
{
    (void)unused;
    struct cluster_addresses addresses;
    struct error error;
    assert_int_equal(read_addresses("c", "", "", "c=c.example:9", &addresses, &error), ERROR_NONE);
    assert_string_equal(addresses.listen, "0.0.0.0:9");
    assert_string_equal(addresses.advertise, "c.example:9");
    cluster_addresses_clear(&addresses);
}

static void test_what_is_said_goes_before_what_is_guessed(void **unused)
{
    (void)unused;
    struct cluster_addresses addresses;
    struct error error;
    assert_int_equal(
        read_addresses("d", "0.0.0.0:7000", "d.example:7001", "a=10.0.0.1:7", &addresses, &error),
        ERROR_NONE);
    assert_string_equal(addresses.listen, "0.0.0.0:7000");
    assert_string_equal(addresses.advertise, "d.example:7001");
    cluster_addresses_clear(&addresses);
    assert_int_equal(read_addresses("d", "127.0.0.1:7000", "", "", &addresses, &error), ERROR_NONE);
    assert_int_equal(addresses.peer_count, 0);
    assert_string_equal(addresses.advertise, "127.0.0.1:7000");
    cluster_addresses_clear(&addresses);
}

static void test_what_makes_no_sense_is_refused_in_words(void **unused)
{
    static const struct {
        const char *listen, *advertise, *peers, *message;
    } CASES[] = {
        {"", "", "a=10.0.0.1:7",
         "cluster.listen is needed: cluster.peers has no entry for 'n' (cluster.node)"},
        {"0.0.0.0:7", "", "",
         "cluster.advertise is needed: others can't find this node at '0.0.0.0:7'"},
        {"", "", "10.0.0.1:7", "cluster.peers: '10.0.0.1:7' is not of the form name=host:port"},
        {"", "", "=10.0.0.1:7", "cluster.peers: '=10.0.0.1:7' is not of the form name=host:port"},
        {"", "", "n=10.0.0.1", "cluster.peers: '10.0.0.1' is no address; it looks like host:port"},
        {"", "", "n=h:x", "cluster.peers: 'h:x' is no address; it looks like host:port"},
        {"", "", "n=h:70000", "cluster.peers: 'h:70000' is no address; it looks like host:port"},
        {"", "", "n=h:1,n=h:2", "cluster.peers: 'n' is there twice"},
        {"h", "", "", "cluster.listen: 'h' is no address; it looks like host:port"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct cluster_addresses addresses;
        struct error error;
        assert_int_equal(read_addresses("n", CASES[i].listen, CASES[i].advertise, CASES[i].peers,
                                        &addresses, &error),
                         ERROR_INVALID);
        assert_string_equal(error.message, CASES[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_entry_says_where_to_listen),
        cmocka_unit_test(test_a_name_is_advertised_and_its_port_bound_everywhere),
        cmocka_unit_test(test_what_is_said_goes_before_what_is_guessed),
        cmocka_unit_test(test_what_makes_no_sense_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
