/*
 * contract - the store that is asked, and what the cases share.
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/object_store.h"
#include "object/object_store_options.h"
#include "platform/clock.h"
#include "scratch_directory.h"
#include "telemetry/metrics.h"

enum { MEBIBYTES = 1024 * 1024, PART_BYTES = 5 * MEBIBYTES, PAGE_ENTRIES = 40 };

/* The machine's clock, moved. */
struct moved_clock {
    struct clock base;
    int64_t ahead_ms;
};

struct contract {
    bool is_s3;
    bool checks_region;
    struct scratch_directory scratch; /* of the store, when it is a directory */
    struct scratch_directory files;   /* of files to be put */
    struct disk *disk;                /* on `files` */
    struct metrics *metrics;
    struct moved_clock clock;
    struct object_store_options options;
    struct object_store *store;
};

extern struct contract contract;

/* Does what it should, or the test fails with the store's message. */
void must(enum error_code code, const struct error *error);

struct object_store *store_with(const struct object_store_options *options);

void put_text(const char *key, const char *text);

/* Every object whose key begins with `prefix` is removed. */
void remove_below(const char *prefix);

/* Bytes that differ everywhere, the same for the same seed. */
void fill_bytes(uint8_t *bytes, size_t size, uint64_t seed);

/* Requests of this operation that were counted, with any result. */
uint64_t requests_of(const char *operation);

/* The cases of each file. */
int run_object_cases(void);
int run_listing_cases(void);
int run_file_cases(void);
int run_refusal_cases(void);

#endif
