#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/quote.h"

static void strings_are_quoted_with_the_escapes_of_go(void **state)
{
    (void)state;
    static const struct {
        struct text value;
        const char *quoted;
    } CASES[] = {
        {TEXT(""), "\"\""},
        {{NULL, 0}, "\"\""},
        {TEXT("plain 'text'"), "\"plain 'text'\""},
        {TEXT("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {TEXT("\a\b\f\n\r\t\v"), "\"\\a\\b\\f\\n\\r\\t\\v\""},
        {TEXT("\0\x1f\x7f"), "\"\\x00\\x1f\\x7f\""},
        {TEXT("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
         "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {TEXT("\xff ok \xc3"), "\"\\xff ok \\xc3\""},
        {TEXT("\xc0\xaf\xed\xa0\x80"), "\"\\xc0\\xaf\\xed\\xa0\\x80\""},
        {TEXT("\xe2\x82"), "\"\\xe2\\x82\""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct byte_buffer buffer = {0};
        text_append_quoted(&buffer, CASES[i].value);
        assert_int_equal(buffer.size, strlen(CASES[i].quoted));
        assert_memory_equal(buffer.bytes, CASES[i].quoted, buffer.size);
        byte_buffer_clear(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_quoted_with_the_escapes_of_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
