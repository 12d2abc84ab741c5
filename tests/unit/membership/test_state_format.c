/* The bytes of the whole state: docs/formats/cluster-state.md. */
#include "clusters.h"

#include "base/checksum.h"

/* A state with something of everything, made by entries. */
static struct cluster_state *full_state(void)
{
    static const struct slot_range RANGES[] = {{10, 5}, {512, 512}};
    struct cluster_state *state = founded_state();
    const struct cluster_entry entries[] = {
        {.kind = CLUSTER_ADD_NODE, .add_node = {identity_of("d", 4), traits_of("d:9010", "x")}},
        {.kind = CLUSTER_SET_NODE_STATE, .set_node_state = {4, CLUSTER_NODE_ACTIVE}},
        {.kind = CLUSTER_ADD_NODE, .add_node = {identity_of("a", 9), traits_of("a:9010", "")}},
        {.kind = CLUSTER_SET_NODE_STATE, .set_node_state = {2, CLUSTER_NODE_DRAINING}},
        {.kind = CLUSTER_ASSIGN, .assign = {2, 1, {3, {1, 3, 4}}}},
        {.kind = CLUSTER_SPLIT, .split = {0, 1, 4, 5, RANGES, 2, {3, {1, 2, 4}}}},
        {.kind = CLUSTER_SET_TENANT, .set_tenant = {TEXT("b"), TEXT("limits"), TEXT("10")}},
        {.kind = CLUSTER_SET_TENANT, .set_tenant = {TEXT("a"), TEXT("limits"), TEXT("11")}},
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        assert_true(apply_entry_at(state, 10 + i, &entries[i]).changed);
    return state;
}

static void assert_same_again(const struct cluster_state *state)
{
    struct cluster_state *again;
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    cluster_state_encode(state, &once);
    assert_int_equal(cluster_state_decode(once.bytes, once.size, KNOWN_VERSION_MAX, &again, &error),
                     ERROR_NONE);
    cluster_state_encode(again, &twice);
    assert_int_equal(once.size, twice.size);
    assert_memory_equal(once.bytes, twice.bytes, once.size);
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
    cluster_state_destroy(again);
}

static void what_is_decoded_encodes_to_the_same_bytes(void **unused)
{
    (void)unused;
    struct cluster_state *state;
    struct error error;
    assert_int_equal(cluster_state_create(1, &state, &error), ERROR_NONE);
    assert_same_again(state); /* before the founding */
    cluster_state_destroy(state);
    state = full_state();
    assert_same_again(state);
    cluster_state_destroy(state);
}

/* What a replica restores is what one that applied everything has. */
static void a_restored_state_goes_on_alike(void **unused)
{
    (void)unused;
    struct cluster_state *state = full_state(), *restored;
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    cluster_state_encode(state, &once);
    assert_int_equal(
        cluster_state_decode(once.bytes, once.size, KNOWN_VERSION_MAX, &restored, &error),
        ERROR_NONE);
    const struct cluster_entry entries[] = {
        {.kind = CLUSTER_SET_NODE_STATE, .set_node_state = {2, CLUSTER_NODE_ACTIVE}},
        {.kind = CLUSTER_SET_TENANT, .set_tenant = {TEXT("aa"), TEXT("limits"), TEXT("10")}},
        {.kind = CLUSTER_ADD_NODE, .add_node = {identity_of("e", 5), traits_of("e:9010", "x")}},
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        struct cluster_outcome left = apply_entry_at(state, 50 + i, &entries[i]);
        struct cluster_outcome right = apply_entry_at(restored, 50 + i, &entries[i]);
        assert_int_equal(left.node_id, right.node_id);
    }
    byte_buffer_reset(&once);
    cluster_state_encode(state, &once);
    cluster_state_encode(restored, &twice);
    assert_int_equal(once.size, twice.size);
    assert_memory_equal(once.bytes, twice.bytes, once.size);
    assert_int_equal(cluster_state_find_shard(restored, 4)->slot_count, 517);
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
    cluster_state_destroy(state);
    cluster_state_destroy(restored);
}

static void no_cut_and_no_flipped_bit_is_read(void **unused)
{
    (void)unused;
    struct cluster_state *state = full_state(), *decoded;
    struct byte_buffer buffer = {0};
    struct error error;
    cluster_state_encode(state, &buffer);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(cluster_state_decode(buffer.bytes, size, 2, &decoded, &error),
                         ERROR_CORRUPT);
    for (size_t i = 0; i < buffer.size; i++) {
        buffer.bytes[i] ^= 4;
        assert_int_equal(cluster_state_decode(buffer.bytes, buffer.size, 2, &decoded, &error),
                         ERROR_CORRUPT);
        buffer.bytes[i] ^= 4;
    }
    byte_buffer_clear(&buffer);
    cluster_state_destroy(state);
}

/* A good checksum does not prove a sane writer. */
static void no_cut_with_a_good_checksum_is_read(void **unused)
{
    (void)unused;
    struct cluster_state *state = full_state(), *decoded;
    struct byte_buffer buffer = {0};
    struct error error;
    cluster_state_encode(state, &buffer);
    for (size_t size = 9; size < buffer.size; size++) {
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        memcpy(bytes, buffer.bytes, size - 4);
        store_u32(bytes + size - 4, crc32c(0, bytes, size - 4));
        assert_int_equal(cluster_state_decode(bytes, size, 2, &decoded, &error), ERROR_CORRUPT);
        free(bytes);
    }
    byte_buffer_clear(&buffer);
    cluster_state_destroy(state);
}

static void another_format_or_version_is_unsupported(void **unused)
{
    (void)unused;
    struct cluster_state *state = full_state(), *decoded;
    struct byte_buffer buffer = {0};
    struct error error;
    cluster_state_encode(state, &buffer);
    assert_int_equal(cluster_state_decode(buffer.bytes, buffer.size, 0, &decoded, &error),
                     ERROR_UNSUPPORTED);
    buffer.bytes[4] = 2;
    store_u32(buffer.bytes + buffer.size - 4, crc32c(0, buffer.bytes, buffer.size - 4));
    assert_int_equal(cluster_state_decode(buffer.bytes, buffer.size, 1, &decoded, &error),
                     ERROR_UNSUPPORTED);
    byte_buffer_clear(&buffer);
    cluster_state_destroy(state);
}

/* A release reads what the releases before it have written. */
static void the_stored_sample_is_still_understood(void **unused)
{
    (void)unused;
    struct cluster_state *state = full_state();
    struct byte_buffer buffer = {0};
    uint8_t stored[2048];
    cluster_state_encode(state, &buffer);
    FILE *file = fopen("samples/cluster-state-1.bin", "rb");
    assert_non_null(file);
    size_t size = fread(stored, 1, sizeof stored, file);
    fclose(file);
    assert_int_equal(size, buffer.size);
    assert_memory_equal(stored, buffer.bytes, size);
    byte_buffer_clear(&buffer);
    cluster_state_destroy(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_decoded_encodes_to_the_same_bytes),
        cmocka_unit_test(a_restored_state_goes_on_alike),
        cmocka_unit_test(no_cut_and_no_flipped_bit_is_read),
        cmocka_unit_test(no_cut_with_a_good_checksum_is_read),
        cmocka_unit_test(another_format_or_version_is_unsupported),
        cmocka_unit_test(the_stored_sample_is_still_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
