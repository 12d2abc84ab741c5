/*
 * The order of series in a block.
 */
#include "block/block_order.h"

#include <string.h>

static struct order_text order_text(struct text text)
{
    uint64_t start = 0;
    size_t size = text.size < sizeof start ? text.size : sizeof start;
    if (size > 0)
        memcpy(&start, text.data, size);
    return (struct order_text){.start = __builtin_bswap64(start), .text = text};
}

struct block_order_key block_order_key(const struct block_series *series)
{
    static const struct text NAMES[ORDER_TEXTS] = {
        [ORDER_NAME] = {"__name__", 8},
        [ORDER_JOB] = {"job", 3},
        [ORDER_INSTANCE] = {"instance", 8},
    };
    struct block_order_key key = {.labels = series->labels};
    key.texts[ORDER_TENANT] = order_text(series->tenant);
    struct labels_cursor cursor = labels_begin(series->labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        if (label.name.size != 8 && label.name.size != 3)
            continue;
        for (int i = ORDER_NAME; i < ORDER_TEXTS; i++)
            if (text_equal(label.name, NAMES[i]))
                key.texts[i] = order_text(label.value);
    }
    return key;
}

int block_order_compare(const struct block_order_key *left, const struct block_order_key *right)
{
    for (size_t i = 0; i < ORDER_TEXTS; i++) {
        const struct order_text *a = &left->texts[i];
        const struct order_text *b = &right->texts[i];
        if (a->start != b->start)
            return a->start < b->start ? -1 : 1;
        int order = text_compare(a->text, b->text);
        if (order != 0)
            return order;
    }
    return labels_compare(left->labels, right->labels);
}

int block_series_compare(const struct block_series *left, const struct block_series *right)
{
    struct block_order_key a = block_order_key(left);
    struct block_order_key b = block_order_key(right);
    return block_order_compare(&a, &b);
}
