/*
 * block_order - the order of series in a block: (tenant, metric name, target, other labels). A
 * target is the pair of the labels job and instance.
 *
 * Pure functions.
 */
#ifndef BLOCK_BLOCK_ORDER_H
#define BLOCK_BLOCK_ORDER_H

#include <stdint.h>

#include "base/text.h"
#include "model/labels.h"

struct block_series {
    struct text tenant; /* at most TENANT_ID_BYTES_MAX */
    uint16_t slot;
    struct labels labels; /* canonical */
};

/* The order in a block: <0, 0 (the same series), >0. */
int block_series_compare(const struct block_series *left, const struct block_series *right);

/* A text with its first bytes as a number, which most comparisons need only. */
struct order_text {
    uint64_t start; /* big endian, zeroes behind the end */
    struct text text;
};

enum order_texts { ORDER_TENANT, ORDER_NAME, ORDER_JOB, ORDER_INSTANCE, ORDER_TEXTS };

/* What decides about a series, looked up once: for those who compare it several times. Points into
 * the series. */
struct block_order_key {
    struct order_text texts[ORDER_TEXTS]; /* empty where the label is missing */
    struct labels labels;
};

struct block_order_key block_order_key(const struct block_series *series);
int block_order_compare(const struct block_order_key *left, const struct block_order_key *right);

#endif
