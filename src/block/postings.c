#include "postings.h"

#include <assert.h>
#include <string.h>

#include "codec/integer_codec.h"

/* --- Encoding --------------------------------------------------------------------------------- */

static size_t runs_size(const uint32_t *positions, size_t count, size_t *run_count_out)
{
    size_t size = 0;
    size_t runs = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < count;) {
        size_t length = 1;
        while (i + length < count && positions[i + length] == positions[i] + length)
            length++;
        size += varint_size(positions[i] - end) + varint_size(length - 1);
        end = (uint64_t)positions[i] + length;
        i += length;
        runs++;
    }
    *run_count_out = runs;
    return size + varint_size(runs);
}

static void runs_encode(const uint32_t *positions, size_t count, size_t run_count,
                        struct byte_buffer *target)
{
    byte_buffer_varint(target, run_count);
    uint64_t end = 0;
    for (size_t i = 0; i < count;) {
        size_t length = 1;
        while (i + length < count && positions[i + length] == positions[i] + length)
            length++;
        byte_buffer_varint(target, positions[i] - end);
        byte_buffer_varint(target, length - 1);
        end = (uint64_t)positions[i] + length;
        i += length;
    }
}

static size_t bitmap_bytes(const uint32_t *positions, size_t count)
{
    return (positions[count - 1] - positions[0]) / 8 + 1;
}

static void bitmap_encode(const uint32_t *positions, size_t count, struct byte_buffer *target)
{
    size_t size = bitmap_bytes(positions, count);
    byte_buffer_varint(target, positions[0]);
    if (!byte_buffer_reserve(target, size))
        return;
    uint8_t *bits = target->bytes + target->size;
    memset(bits, 0, size);
    for (size_t i = 0; i < count; i++) {
        uint32_t bit = positions[i] - positions[0];
        bits[bit / 8] |= (uint8_t)(1u << (bit % 8));
    }
    target->size += size;
}

enum postings_form postings_encode(const uint32_t *positions, size_t count,
                                   struct byte_buffer *target)
{
    assert(count > 0);
    size_t start = target->size;
    ascending_encode(positions, count, target);
    size_t differences = target->size - start;
    size_t run_count;
    size_t runs = runs_size(positions, count, &run_count);
    size_t bitmap = varint_size(positions[0]) + bitmap_bytes(positions, count);
    if (target->failed || (differences <= runs && differences <= bitmap))
        return POSTINGS_DIFFERENCES;
    target->size = start;
    if (runs <= bitmap) {
        runs_encode(positions, count, run_count, target);
        return POSTINGS_RUNS;
    }
    bitmap_encode(positions, count, target);
    return POSTINGS_BITMAP;
}

/* --- Decoding --------------------------------------------------------------------------------- */

static enum error_code corrupt(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "postings");
}

/* A walk that hands positions out by the block. */
struct walk {
    struct byte_reader reader;
    uint32_t limit;
    size_t left; /* positions that are still to come */
    index_positions_visit *visit;
    void *context;
    uint32_t block[ASCENDING_BLOCK];
    size_t used; /* of the block */
};

static void hand_out(struct walk *walk)
{
    if (walk->used > 0)
        walk->visit(walk->context, (struct positions){walk->block, walk->used});
    walk->used = 0;
}

/* `length` positions from `first` on, which are below the limit and still to come. */
static void add_run(struct walk *walk, uint64_t first, uint64_t length)
{
    walk->left -= length;
    for (uint64_t i = 0; i < length; i++) {
        if (walk->used == ASCENDING_BLOCK)
            hand_out(walk);
        walk->block[walk->used++] = (uint32_t)(first + i);
    }
}

static enum error_code differences_walk(struct walk *walk, struct error *error)
{
    uint64_t next = 0;
    while (walk->left > 0) {
        size_t count = walk->left < ASCENDING_BLOCK ? walk->left : ASCENDING_BLOCK;
        enum error_code code =
            ascending_decode_block(&walk->reader, count, &next, walk->block, error);
        if (code != ERROR_NONE)
            return code;
        /* The list ascends, so the last position decides. */
        if (walk->block[count - 1] >= walk->limit)
            return corrupt(error);
        walk->used = count;
        walk->left -= count;
        hand_out(walk);
    }
    return ERROR_NONE;
}

static enum error_code runs_walk(struct walk *walk, struct error *error)
{
    struct byte_reader *reader = &walk->reader;
    uint64_t run_count = byte_reader_varint(reader);
    uint64_t end = 0;
    for (uint64_t run = 0; run < run_count; run++) {
        uint64_t gap = byte_reader_varint(reader);
        uint64_t length = byte_reader_varint(reader);
        if (reader->failed || gap > walk->limit || length >= walk->left)
            return corrupt(error);
        length++;
        uint64_t first = end + gap;
        end = first + length;
        if (end > walk->limit)
            return corrupt(error);
        add_run(walk, first, length);
    }
    return ERROR_NONE;
}

static enum error_code bitmap_walk(struct walk *walk, struct error *error)
{
    uint64_t first = byte_reader_varint(&walk->reader);
    size_t size = byte_reader_left(&walk->reader);
    const uint8_t *bits = byte_reader_take(&walk->reader, size);
    if (walk->reader.failed || first > walk->limit)
        return corrupt(error);
    for (size_t byte = 0; byte < size; byte++) {
        for (unsigned left = bits[byte]; left != 0; left &= left - 1) {
            uint64_t position = first + 8 * (uint64_t)byte + (unsigned)__builtin_ctz(left);
            if (walk->left == 0 || position >= walk->limit)
                return corrupt(error);
            add_run(walk, position, 1);
        }
    }
    return ERROR_NONE;
}

enum error_code postings_walk(enum postings_form form, const uint8_t *bytes, size_t size,
                              uint32_t limit, size_t count, index_positions_visit *visit,
                              void *context, struct error *error)
{
    if (count == 0 || count > limit)
        return corrupt(error);
    struct walk walk = {
        .reader = byte_reader_over(bytes, size),
        .limit = limit,
        .left = count,
        .visit = visit,
        .context = context,
    };
    enum error_code code;
    switch (form) {
    case POSTINGS_DIFFERENCES:
        code = differences_walk(&walk, error);
        break;
    case POSTINGS_RUNS:
        code = runs_walk(&walk, error);
        break;
    case POSTINGS_BITMAP:
        code = bitmap_walk(&walk, error);
        break;
    default:
        return error_set(error, ERROR_UNSUPPORTED, "postings of form %d", form);
    }
    if (code == ERROR_NONE && (walk.left > 0 || byte_reader_left(&walk.reader) > 0))
        code = corrupt(error);
    hand_out(&walk);
    return code;
}
