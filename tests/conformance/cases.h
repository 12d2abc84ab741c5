/*
 * cases - one .test file of PromQL: what to load, what to evaluate, what to expect.
 */
#ifndef CONFORMANCE_CASES_H
#define CONFORMANCE_CASES_H

#include "notation.h"
#include "promql/engine.h"
#include "series_memory.h"

/* --- Expectations ---------------------------------------------------------------------------- */

enum expected_message { MESSAGE_ANY, MESSAGE_EXACT, MESSAGE_REGEX };

struct expectation {
    enum expected_message kind;
    struct text message;
};

enum { EXPECTATIONS_MAX = 8 };

struct expectation_list {
    bool is_expected;
    bool is_forbidden; /* no_warn, no_info */
    struct expectation entries[EXPECTATIONS_MAX];
    size_t count;
};

struct evaluation_case {
    size_t line;
    struct text query;
    bool is_range;
    int64_t start_ms;
    int64_t end_ms;
    int64_t step_ms; /* 0: instant */
    bool is_ordered;
    struct expectation_list fail;
    struct expectation_list warn;
    struct expectation_list info;
    bool expects_string;
    struct text string;
    bool expects_scalar;
    double scalar;
    /* A matrix of an instant query: the times of its points. */
    bool expects_matrix;
    int64_t matrix_start_ms;
    int64_t matrix_step_ms;
    struct notation *series; /* [series_count] */
    size_t series_count;
};

/* --- Files ----------------------------------------------------------------------------------- */

struct case_visitor {
    void *context;
    void (*clear)(void *context);
    /* One series of a load; times are multiples of step_ms from 0. */
    void (*load)(void *context, const struct notation *notation, int64_t step_ms);
    void (*load_end)(void *context, bool with_custom_buckets);
    void (*evaluate)(void *context, const struct evaluation_case *evaluation);
};

/* Walk a file's text. Errors: INVALID with the line. */
enum error_code case_file_walk(struct text text, struct arena *arena,
                               const struct case_visitor *visitor, struct error *error);

/* --- Running --------------------------------------------------------------------------------- */

struct case_result {
    bool has_passed;
    char reason[1024];
};

/* Evaluate over `memory`, what distributes by `distributor` unless that is NULL; an instant case is
 * also run as the middle of a range. */
struct case_result case_run(const struct evaluation_case *evaluation, struct series_memory *memory,
                            struct promql_distributor *distributor, struct arena *arena);

/* NULL when the result is as expected, else why not, in the arena. With `middle_ms` only the
 * points at that time count, as those of an instant query; INT64_MIN: all. */
const char *case_compare(const struct evaluation_case *evaluation,
                         const struct promql_result *result, int64_t middle_ms,
                         struct arena *arena);

/* A visitor that prints what it meets, a line of JSON each, for a run over HTTP (served.py).
 * Numbers are the 16 hexadecimal digits of their bits. `context` is a struct case_printer. */
struct case_printer {
    struct series_memory *loading;
    struct arena *arena;
};

extern const struct case_visitor CASE_PRINTER;

/* One load into a series_memory. */
void notation_load(struct series_memory *memory, const struct notation *notation, int64_t step_ms);

/* Add to `memory`, for each classic histogram, a native one with custom buckets. */
void classic_buckets_convert(struct series_memory *memory, struct arena *arena);

#endif
