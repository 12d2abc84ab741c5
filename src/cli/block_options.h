/*
 * block_options - what `gnomon block import` and `gnomon block export` are told.
 */
#ifndef CLI_BLOCK_OPTIONS_H
#define CLI_BLOCK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "cli/node_client.h"
#include "promql/parser.h"

enum { BLOCK_MATCHES_MAX = 64, BLOCK_TOKEN_BYTES_MAX = 4096 };

enum block_direction { BLOCK_IMPORT, BLOCK_EXPORT };

struct block_options {
    enum block_direction direction;
    struct node_client client;
    char token[BLOCK_TOKEN_BYTES_MAX];
    int64_t start_ms; /* samples from start to end, both included */
    int64_t end_ms;
    bool has_start;
    bool has_end;
    bool is_dry_run;      /* import */
    const char *done;     /* import; a file; NULL: none */
    const char *out;      /* export */
    int64_t window_ms;    /* export; a multiple of 2 h */
    int64_t patience_ms;  /* how long a request is sent again */
    const char **sources; /* [source_count] import; in the arena */
    size_t source_count;
    const char **stores; /* [store_count] import; settings files, in the arena */
    size_t store_count;
    const char *match_texts[BLOCK_MATCHES_MAX];
    struct promql_query
        matches[BLOCK_MATCHES_MAX]; /* [match_count] selectors; none: every series */
    size_t match_count;
    struct arena *arena;
};

/*
 * Read arguments; `wants_help` is set when they ask for help. Clear it in any case.
 * Errors: INVALID (not used so), IO (a file of a token), OUT_OF_MEMORY.
 */
enum error_code block_options_read(enum block_direction direction, int count, char **arguments,
                                   struct block_options *options, bool *wants_help,
                                   struct error *error);
void block_options_clear(struct block_options *options);

/* "2026-11-22T14:00:00.000Z". */
enum { BLOCK_TIME_CHARACTERS = 40 };
const char *block_time_format(int64_t time_ms, char text[BLOCK_TIME_CHARACTERS]);

/* "12.3 MiB", "1.5 M" ... */
enum { BLOCK_NUMBER_CHARACTERS = 32 };
const char *block_size_format(uint64_t bytes, char text[BLOCK_NUMBER_CHARACTERS]);

#endif
