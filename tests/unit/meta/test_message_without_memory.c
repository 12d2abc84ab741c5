/* The n-th allocation fails: what nodes say is then not understood, and nothing is lost by it. */
#include "allocation_faults.h"
#include "examples.h"

static void every_decoder_survives_the_failure_of_every_allocation(void **state)
{
    (void)state;
    for (enum example_kind kind = 0; kind < EXAMPLES; kind++) {
        struct byte_buffer bytes = {0}, again = {0};
        struct error error;
        enum error_code code = ERROR_OUT_OF_MEMORY;
        example_encode(kind, &bytes);
        for (size_t number = 1; code != ERROR_NONE; number++) {
            allocation_faults_arm(number);
            struct arena *arena = arena_create(0);
            again = (struct byte_buffer){0};
            if (arena != NULL)
                code = example_again(kind, (struct bytes){bytes.bytes, bytes.size}, arena, &again,
                                     &error);
            bool was_injected = allocation_faults_disarm();
            bool is_whole = arena != NULL && code == ERROR_NONE && !again.failed;
            assert_int_equal(is_whole, !was_injected);
            if (again.failed)
                code = ERROR_OUT_OF_MEMORY; /* of the encoder: told by the buffer */
            byte_buffer_clear(&again);
            arena_destroy(arena);
        }
        byte_buffer_clear(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decoder_survives_the_failure_of_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
