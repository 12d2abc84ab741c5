#include "model/labels.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"

/* --- Walking --------------------------------------------------------------------------------- */

bool labels_next(struct labels_cursor *cursor, struct label *label_out)
{
    if (byte_reader_left(&cursor->reader) == 0)
        return false;
    label_out->name = byte_reader_text(&cursor->reader);
    label_out->value = byte_reader_text(&cursor->reader);
    assert(!cursor->reader.failed);
    return true;
}

size_t labels_count(struct labels labels)
{
    size_t count = 0;
    struct label label;
    struct labels_cursor cursor = labels_begin(labels);
    while (labels_next(&cursor, &label))
        count++;
    return count;
}

struct text labels_get(struct labels labels, struct text name)
{
    struct label label;
    struct labels_cursor cursor = labels_begin(labels);
    while (labels_next(&cursor, &label)) {
        if (text_equal(label.name, name))
            return label.value;
        /* Sorted: it can't come any more. The first byte tells as a rule. */
        if (name.size == 0 || (uint8_t)label.name.data[0] > (uint8_t)name.data[0])
            break;
    }
    return (struct text){0};
}

static size_t common_bytes(const uint8_t *left, const uint8_t *right, size_t size)
{
    size_t common = 0;
    uint64_t left_word, right_word;
    for (; common + sizeof left_word <= size; common += sizeof left_word) {
        memcpy(&left_word, left + common, sizeof left_word);
        memcpy(&right_word, right + common, sizeof right_word);
        if (left_word != right_word)
            break;
    }
    while (common < size && left[common] == right[common])
        common++;
    return common;
}

/* Neighbours share most of their bytes, so texts are only looked at where they first differ. */
int labels_compare(struct labels left, struct labels right)
{
    size_t common =
        common_bytes(left.bytes, right.bytes, left.size < right.size ? left.size : right.size);
    struct byte_reader left_reader = byte_reader_over(left.bytes, left.size);
    size_t at = 0;
    while (at < left.size && at < right.size) {
        struct text left_text = byte_reader_text(&left_reader);
        size_t end = left.size - byte_reader_left(&left_reader);
        assert(!left_reader.failed);
        if (end > common) {
            struct byte_reader right_reader = byte_reader_over(right.bytes + at, right.size - at);
            return text_compare(left_text, byte_reader_text(&right_reader));
        }
        at = end;
    }
    return (int)(at < left.size) - (int)(at < right.size);
}

/* --- Checking bytes from outside ------------------------------------------------------------- */

/* A text whose length is written in the fewest bytes: one label set has one encoding. */
static struct text read_canonical_text(struct byte_reader *reader)
{
    const uint8_t *start = reader->position;
    uint64_t size = byte_reader_varint(reader);
    if (reader->failed || (size_t)(reader->position - start) != varint_size(size) ||
        size > byte_reader_left(reader)) {
        reader->failed = true;
        return (struct text){0};
    }
    return (struct text){(const char *)byte_reader_take(reader, size), size};
}

enum error_code labels_decode(const uint8_t *bytes, size_t size, struct labels *labels_out,
                              struct error *error)
{
    assert(bytes != NULL || size == 0);
    assert(labels_out != NULL);

    if (size > LABEL_SET_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "labels: %zu bytes, at most %d", size,
                         LABEL_SET_BYTES_MAX);
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct text previous = {0};
    size_t count = 0;
    while (byte_reader_left(&reader) > 0) {
        struct text name = read_canonical_text(&reader);
        struct text value = read_canonical_text(&reader);
        if (reader.failed)
            return error_set(error, ERROR_CORRUPT, "labels: label %zu is cut short", count);
        if (name.size == 0 || value.size == 0)
            return error_set(error, ERROR_CORRUPT, "labels: label %zu has an empty %s", count,
                             name.size == 0 ? "name" : "value");
        if (count > 0 && text_compare(previous, name) >= 0)
            return error_set(error, ERROR_CORRUPT, "labels: label %zu is out of order", count);
        previous = name;
        if (++count > LABELS_PER_SERIES_MAX)
            return error_set(error, ERROR_LIMIT, "labels: more than %d", LABELS_PER_SERIES_MAX);
    }
    *labels_out = (struct labels){.bytes = bytes, .size = (uint32_t)size};
    return ERROR_NONE;
}

/* --- Sorting --------------------------------------------------------------------------------- */

enum { INSERTION_COUNT_MAX = 16 };

static void insertion_sort(struct label *array, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct label label = array[i];
        size_t hole = i;
        for (; hole > 0 && text_compare(array[hole - 1].name, label.name) > 0; hole--)
            array[hole] = array[hole - 1];
        array[hole] = label;
    }
}

static void reverse(struct label *array, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct label label = array[i];
        array[i] = array[count - 1 - i];
        array[count - 1 - i] = label;
    }
}

/* The first `left_count` labels change places with the `right_count` after them. */
static void rotate(struct label *array, size_t left_count, size_t right_count)
{
    reverse(array, left_count);
    reverse(array + left_count, right_count);
    reverse(array, left_count + right_count);
}

/* How many of the sorted `array` come before `name`, or before and with it. */
enum bound { BOUND_BEFORE, BOUND_AFTER };
static size_t find_bound(const struct label *array, size_t count, struct text name,
                         enum bound bound)
{
    size_t low = 0;
    while (count > 0) {
        size_t half = count / 2;
        int order = text_compare(array[low + half].name, name);
        if (order < 0 || (order == 0 && bound == BOUND_AFTER)) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

/*
 * Merge two sorted neighbours in place, stable: cut the longer one in the middle, the other one at
 * the same name, rotate what is between the cuts, and merge both halves.
 */
static void merge(struct label *array, size_t left_count, size_t right_count)
{
    if (left_count == 0 || right_count == 0)
        return;
    if (left_count + right_count == 2) {
        if (text_compare(array[0].name, array[1].name) > 0)
            rotate(array, 1, 1);
        return;
    }
    struct label *right = array + left_count;
    size_t left_cut;
    size_t right_cut;
    if (left_count > right_count) {
        left_cut = left_count / 2;
        right_cut = find_bound(right, right_count, array[left_cut].name, BOUND_BEFORE);
    } else {
        right_cut = right_count / 2;
        left_cut = find_bound(array, left_count, right[right_cut].name, BOUND_AFTER);
    }
    rotate(array + left_cut, left_count - left_cut, right_cut);
    merge(array, left_cut, right_cut);
    merge(array + left_cut + right_cut, left_count - left_cut, right_count - right_cut);
}

/* Few labels are the rule, but a request may bring any number: never quadratic. */
static void stable_sort(struct label *array, size_t count)
{
    if (count <= INSERTION_COUNT_MAX) {
        insertion_sort(array, count);
        return;
    }
    size_t half = count / 2;
    stable_sort(array, half);
    stable_sort(array + half, count - half);
    merge(array, half, count - half);
}

size_t label_array_sort(struct label *array, size_t count)
{
    size_t kept = 0;
    bool sorted = true;
    for (size_t i = 0; i < count; i++) {
        if (array[i].value.size == 0)
            continue;
        if (kept > 0 && text_compare(array[kept - 1].name, array[i].name) > 0)
            sorted = false;
        array[kept++] = array[i];
    }
    if (!sorted)
        stable_sort(array, kept);
    return kept;
}

/* --- Making ---------------------------------------------------------------------------------- */

void labels_encode(const struct label *sorted, size_t count, struct byte_buffer *buffer)
{
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || text_compare(sorted[i - 1].name, sorted[i].name) < 0);
        byte_buffer_text(buffer, sorted[i].name);
        byte_buffer_text(buffer, sorted[i].value);
    }
}

static size_t encoded_text_size(struct text value)
{
    return varint_size(value.size) + value.size;
}

static uint8_t *store_text(uint8_t *target, struct text value)
{
    target = varint_store(target, value.size);
    if (value.size > 0)
        memcpy(target, value.data, value.size);
    return target + value.size;
}

struct labels labels_build(struct arena *arena, struct label *array, size_t count)
{
    count = label_array_sort(array, count);
    size_t unique = 0;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (unique > 0 && text_equal(array[unique - 1].name, array[i].name))
            continue; /* the first wins */
        array[unique++] = array[i];
        size += encoded_text_size(array[i].name) + encoded_text_size(array[i].value);
    }
    if (size > UINT32_MAX)
        return (struct labels){0};
    uint8_t *bytes = arena_allocate(arena, size);
    if (bytes == NULL)
        return (struct labels){0};
    uint8_t *end = bytes;
    for (size_t i = 0; i < unique; i++)
        end = store_text(store_text(end, array[i].name), array[i].value);
    assert((size_t)(end - bytes) == size);
    return (struct labels){.bytes = bytes, .size = (uint32_t)size};
}

struct labels labels_copy(struct arena *arena, struct labels labels)
{
    if (labels.size == 0)
        return (struct labels){0};
    uint8_t *bytes = arena_allocate(arena, labels.size);
    if (bytes == NULL)
        return (struct labels){0};
    memcpy(bytes, labels.bytes, labels.size);
    return (struct labels){.bytes = bytes, .size = labels.size};
}

struct labels labels_project(struct arena *arena, struct labels labels, enum labels_keep keep,
                             const struct text *names, size_t name_count)
{
    uint8_t *bytes = arena_allocate(arena, labels.size);
    if (bytes == NULL)
        return (struct labels){0};

    uint8_t *end = bytes;
    size_t next_name = 0;
    struct label label;
    struct labels_cursor cursor = labels_begin(labels);
    const uint8_t *label_start = cursor.reader.position;
    while (labels_next(&cursor, &label)) {
        int order = -1; /* of the next name against the label */
        while (next_name < name_count && (order = text_compare(names[next_name], label.name)) < 0)
            next_name++;
        bool named = next_name < name_count && order == 0;
        if (named == (keep == LABELS_KEEP_NAMED)) {
            size_t size = (size_t)(cursor.reader.position - label_start);
            memcpy(end, label_start, size);
            end += size;
        }
        label_start = cursor.reader.position;
    }
    return (struct labels){.bytes = bytes, .size = (uint32_t)(end - bytes)};
}
