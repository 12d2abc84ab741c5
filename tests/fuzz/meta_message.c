/* What meta groups say to each other: the first byte chooses what it is taken for. What is
 * understood encodes to bytes that are understood alike. */
#include <stdlib.h>

#include "../unit/meta/examples.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    if (size == 0 || bytes[0] >= EXAMPLES)
        return 0;
    struct arena *arena = arena_create(0);
    enum example_kind kind = (enum example_kind)bytes[0];
    struct bytes input = {bytes + 1, size - 1};
    if (arena != NULL && example_again(kind, input, arena, &once, &error) == ERROR_NONE) {
        struct bytes output = {once.bytes, once.size};
        require(example_again(kind, output, arena, &twice, &error) == ERROR_NONE);
        require(once.size == twice.size && memcmp(once.bytes, twice.bytes, once.size) == 0);
    }
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
    arena_destroy(arena);
    return 0;
}
