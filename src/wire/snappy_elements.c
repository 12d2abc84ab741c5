/*
 * Format: google/snappy, format_description.txt. An element is a tag byte, of which two bits are
 * the kind, then its length or offset, and for a literal its bytes:
 *
 *   literal    6 bits length - 1; from 60 on: the length - 1 is in the next 1 to 4 bytes
 *   copy 1     3 bits length - 4, 3 bits and 1 byte offset
 *   copy 2     6 bits length - 1, 2 bytes offset
 *   copy 4     6 bits length - 1, 4 bytes offset
 *
 * Written anew because requests spend an eighth of their time here: most elements are short, and a
 * copy of 64 bytes with constant size costs less than a call that looks at the size first.
 */
#include "snappy_elements.h"

#include <string.h>

#include "base/bytes.h"

enum element_kind { ELEMENT_LITERAL, ELEMENT_COPY_1, ELEMENT_COPY_2, ELEMENT_COPY_4 };

enum {
    KIND_MASK = 3,
    LITERAL_SHORT_MAX = 60,
    STRIDE = 16,
    /* The most that a copy or a short literal writes, and that is written for it. */
    ELEMENT_BYTES_MAX = 64,
    /* A tag and what can be read for a short literal behind it. */
    ELEMENT_ROOM = 1 + ELEMENT_BYTES_MAX,
};

/* Where the decoder stands. */
struct progress {
    const uint8_t *source;
    const uint8_t *source_end;
    uint8_t *target;
    uint8_t *target_start;
    uint8_t *target_end;
};

/* --- Any element, byte by byte ---------------------------------------------------------------- */

/* The next `size` <= 4 bytes as a number. */
static bool take_number(struct progress *progress, unsigned size, uint32_t *number_out)
{
    if ((size_t)(progress->source_end - progress->source) < size)
        return false;
    *number_out = 0;
    memcpy(number_out, progress->source, size);
    progress->source += size;
    return true;
}

static bool take_literal(struct progress *progress, unsigned tag)
{
    uint32_t length = tag >> 2;
    if (length >= LITERAL_SHORT_MAX &&
        !take_number(progress, length - LITERAL_SHORT_MAX + 1, &length))
        return false;
    size_t size = (size_t)length + 1;
    if (size > (size_t)(progress->source_end - progress->source) ||
        size > (size_t)(progress->target_end - progress->target))
        return false;
    memcpy(progress->target, progress->source, size);
    progress->source += size;
    progress->target += size;
    return true;
}

static bool take_copy(struct progress *progress, unsigned tag)
{
    static const uint8_t OFFSET_BYTES[] = {0, 1, 2, 4};
    unsigned kind = tag & KIND_MASK;
    size_t size = (tag >> 2) + 1;
    uint32_t offset;
    if (!take_number(progress, OFFSET_BYTES[kind], &offset))
        return false;
    if (kind == ELEMENT_COPY_1) {
        size = (tag >> 2 & 7) + 4;
        offset |= (tag >> 5) << 8;
    }
    if (offset == 0 || offset > (size_t)(progress->target - progress->target_start) ||
        size > (size_t)(progress->target_end - progress->target))
        return false;
    /* One by one: what is copied may be written by the same copy. */
    for (size_t i = 0; i < size; i++)
        progress->target[i] = *(progress->target + i - offset);
    progress->target += size;
    return true;
}

static bool take_element(struct progress *progress)
{
    unsigned tag = *progress->source++;
    return (tag & KIND_MASK) == ELEMENT_LITERAL ? take_literal(progress, tag)
                                                : take_copy(progress, tag);
}

/* --- Short elements where there is room ------------------------------------------------------- */

/* Sixteen bytes at a time, up to the end of the longest element; `size` says how much is needed.
 * The source is at least STRIDE behind the target, or elsewhere. */
static inline void copy_strides(uint8_t *target, const uint8_t *source, size_t size)
{
    memcpy(target, source, STRIDE);
    if (size <= STRIDE)
        return;
    memcpy(target + STRIDE, source + STRIDE, STRIDE);
    if (size <= 2 * STRIDE)
        return;
    memcpy(target + 2 * STRIDE, source + 2 * STRIDE, STRIDE);
    memcpy(target + 3 * STRIDE, source + 3 * STRIDE, STRIDE);
}

/* Elements as long as none is near an end or unusual; then take_element has the next one. */
static void take_short_elements(struct progress *progress)
{
    const uint8_t *source = progress->source;
    const uint8_t *const source_end = progress->source_end;
    uint8_t *target = progress->target;
    uint8_t *const target_start = progress->target_start;
    uint8_t *const target_end = progress->target_end;
    while (source_end - source >= ELEMENT_ROOM && target_end - target >= ELEMENT_BYTES_MAX) {
        unsigned tag = *source;
        size_t size = (tag >> 2) + 1;
        size_t offset;
        unsigned used;
        switch (tag & KIND_MASK) {
        case ELEMENT_LITERAL:
            if (size > LITERAL_SHORT_MAX)
                goto out;
            copy_strides(target, source + 1, size);
            source += 1 + size;
            target += size;
            continue;
        case ELEMENT_COPY_1:
            size = (tag >> 2 & 7) + 4;
            offset = (tag >> 5) << 8 | source[1];
            used = 2;
            break;
        case ELEMENT_COPY_2:
            offset = load_u16(source + 1);
            used = 3;
            break;
        default:
            offset = load_u32(source + 1);
            used = 5;
            break;
        }
        if (offset < STRIDE || offset > (size_t)(target - target_start))
            goto out;
        copy_strides(target, target - offset, size);
        source += used;
        target += size;
    }
out:
    progress->source = source;
    progress->target = target;
}

bool snappy_elements_decode(const uint8_t *elements, size_t elements_size, uint8_t *target,
                            size_t target_size)
{
    struct progress progress = {.source = elements,
                                .source_end = elements + elements_size,
                                .target = target,
                                .target_start = target,
                                .target_end = target + target_size};
    while (true) {
        take_short_elements(&progress);
        if (progress.source == progress.source_end)
            return progress.target == progress.target_end;
        if (!take_element(&progress))
            return false;
    }
}
