/*
 * The order of series in a block.
 */
#include <stdlib.h>

#include "block/block_writer.h"

/* What decides before the labels as a whole, each text with its first bytes as a number, so that
 * most comparisons touch no text. */
struct order_text {
    uint64_t start; /* big endian, zeroes behind the end */
    struct text text;
};

enum { ORDER_TENANT, ORDER_NAME, ORDER_JOB, ORDER_INSTANCE, ORDER_TEXTS };

struct order_key {
    struct order_text texts[ORDER_TEXTS];
    struct labels labels;
    uint32_t number;
};

static struct order_text order_text(struct text text)
{
    uint64_t start = 0;
    size_t size = text.size < sizeof start ? text.size : sizeof start;
    if (size > 0)
        memcpy(&start, text.data, size);
    return (struct order_text){.start = __builtin_bswap64(start), .text = text};
}

static struct order_key order_key(const struct block_series *series, uint32_t number)
{
    return (struct order_key){
        .texts =
            {
                [ORDER_TENANT] = order_text(series->tenant),
                [ORDER_NAME] = order_text(labels_get(series->labels, LABEL_METRIC_NAME)),
                [ORDER_JOB] = order_text(labels_get(series->labels, TEXT("job"))),
                [ORDER_INSTANCE] = order_text(labels_get(series->labels, TEXT("instance"))),
            },
        .labels = series->labels,
        .number = number,
    };
}

static int key_compare(const void *left, const void *right)
{
    const struct order_key *a = left;
    const struct order_key *b = right;
    for (size_t i = 0; i < ORDER_TEXTS; i++) {
        if (a->texts[i].start != b->texts[i].start)
            return a->texts[i].start < b->texts[i].start ? -1 : 1;
        int order = text_compare(a->texts[i].text, b->texts[i].text);
        if (order != 0)
            return order;
    }
    return labels_compare(a->labels, b->labels);
}

int block_series_compare(const struct block_series *left, const struct block_series *right)
{
    struct order_key a = order_key(left, 0);
    struct order_key b = order_key(right, 0);
    return key_compare(&a, &b);
}

enum error_code block_series_sort(const struct block_series *series, size_t count,
                                  uint32_t *order_out, struct error *error)
{
    if (count == 0)
        return ERROR_NONE;
    struct order_key *keys = malloc(count * sizeof *keys);
    if (keys == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "order of %zu series", count);
    for (size_t i = 0; i < count; i++)
        keys[i] = order_key(&series[i], (uint32_t)i);
    qsort(keys, count, sizeof *keys, key_compare);
    for (size_t i = 0; i < count; i++)
        order_out[i] = keys[i].number;
    free(keys);
    return ERROR_NONE;
}
