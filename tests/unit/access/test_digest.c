#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "digest.h"
#include "digest_table.h"

static struct digest_key key;

static struct digest digest_of(const char *left, const char *right)
{
    struct text texts[] = {text_of(left), text_of(right)};
    struct digest digest;
    assert_true(digest_make(&key, texts, 2, &digest));
    return digest;
}

static int set_up(void **state)
{
    (void)state;
    return digest_key_init(&key) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    digest_key_clear(&key);
    return 0;
}

/* As OpenSSL makes it, of the sizes and the texts. */
static void a_digest_is_hmac(void **state)
{
    static const char INPUT[] = "\5\0\0\0alice\6\0\0\0secret";
    uint8_t bytes[DIGEST_KEY_BYTES], wanted[DIGEST_BYTES];
    unsigned size;
    struct digest_key known;
    struct digest digest;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 1);
    assert_true(digest_key_init_with(&known, bytes));
    struct text texts[] = {TEXT("alice"), TEXT("secret")};
    assert_true(digest_make(&known, texts, 2, &digest));
    assert_non_null(HMAC(EVP_sha256(), bytes, sizeof bytes, (const unsigned char *)INPUT,
                         sizeof INPUT - 1, wanted, &size));
    assert_memory_equal(digest.bytes, wanted, DIGEST_BYTES);
    digest_key_clear(&known);
}

static void texts_and_their_limits_count(void **state)
{
    (void)state;
    struct digest one = digest_of("ab", "c"), same = digest_of("ab", "c"),
                  other = digest_of("a", "bc");
    assert_true(digest_equal(&one, &same));
    assert_false(digest_equal(&one, &other));
    struct digest_key another;
    assert_true(digest_key_init(&another));
    struct text texts[] = {TEXT("ab"), TEXT("c")};
    assert_true(digest_make(&another, texts, 2, &other));
    assert_false(digest_equal(&one, &other)); /* every process has its own */
    digest_key_clear(&another);
}

static void a_table_keeps_what_was_asked_for_last(void **state)
{
    enum { OTHERS = 1000 };
    struct digest_table table;
    (void)state;
    assert_true(digest_table_init(&table, 16));
    struct digest kept = digest_of("kept", "");
    assert_false(digest_table_has(&table, &kept));
    digest_table_add(&table, &kept);
    digest_table_add(&table, &kept);
    size_t found = 0;
    for (int i = 0; i < OTHERS; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        struct digest other = digest_of(number, "");
        digest_table_add(&table, &other);
        assert_true(digest_table_has(&table, &other));
        assert_true(digest_table_has(&table, &kept));
    }
    for (int i = 0; i < OTHERS; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        struct digest other = digest_of(number, "");
        found += digest_table_has(&table, &other);
    }
    assert_in_range(found, 1, 16 * DIGEST_TABLE_WAYS - 1); /* bounded */
    digest_table_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_hmac),
        cmocka_unit_test(texts_and_their_limits_count),
        cmocka_unit_test(a_table_keeps_what_was_asked_for_last),
    };
    return cmocka_run_group_tests_name("digest", tests, set_up, tear_down);
}
