#include "codec/codec_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_portable_path_runs_everywhere(void **state)
{
    (void)state;
    assert_true(codec_path_is_available(CODEC_PATH_PORTABLE));
    assert_true(codec_path_is_available(codec_path_selected()));
}

static void the_best_available_path_is_taken_at_first(void **state)
{
    (void)state;
    enum codec_path best = CODEC_PATH_PORTABLE;
    for (enum codec_path path = 0; path < CODEC_PATHS; path++)
        if (codec_path_is_available(path))
            best = path;
    assert_int_equal(codec_path_selected(), best);
}

static void a_selected_path_stays(void **state)
{
    (void)state;
    for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
        if (!codec_path_is_available(path))
            continue;
        codec_path_select(path);
        assert_int_equal(codec_path_selected(), path);
    }
}

static void paths_have_names_of_their_own(void **state)
{
    (void)state;
    assert_string_equal(codec_path_name(CODEC_PATH_PORTABLE), "portable");
    assert_string_equal(codec_path_name(CODEC_PATH_AVX2), "avx2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_portable_path_runs_everywhere),
        cmocka_unit_test(the_best_available_path_is_taken_at_first),
        cmocka_unit_test(a_selected_path_stays),
        cmocka_unit_test(paths_have_names_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
