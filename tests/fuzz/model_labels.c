/* Bytes from outside as labels: refused, or canonical to the last byte. */
#include <stdlib.h>

#include "model/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct labels labels;
    struct error error;
    if (labels_decode(data, size, &labels, &error) != ERROR_NONE)
        return 0;

    struct arena *arena = arena_create(0);
    size_t count = labels_count(labels);
    struct label *array = arena_array(arena, count, sizeof *array);
    struct labels_cursor cursor = labels_begin(labels);
    for (size_t i = count; i > 0; i--) { /* backwards: building sorts them again */
        if (!labels_next(&cursor, &array[i - 1]))
            abort();
    }
    struct labels built = labels_build(arena, array, count);
    if (!labels_equal(built, labels) || labels_compare(built, labels) != 0)
        abort();
    char line[256];
    labels_format(line, sizeof line, labels);
    arena_destroy(arena);
    return 0;
}
