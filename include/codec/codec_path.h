/*
 * codec_path - which implementation of the inner loops runs.
 *
 * Every path makes the same bytes from the same values and the same values from the same bytes, so
 * the choice is never stored and never matters but for speed. The best path that the processor can
 * run is chosen at the first use.
 */
#ifndef CODEC_CODEC_PATH_H
#define CODEC_CODEC_PATH_H

#include <stdbool.h>

enum codec_path {
    CODEC_PATH_PORTABLE, /* plain C, runs everywhere */
    CODEC_PATH_AVX2,     /* x86-64-v3: AVX2, BMI, LZCNT, POPCNT */
    CODEC_PATHS
};

/* Whether this build and this processor can run `path`. Any thread. */
bool codec_path_is_available(enum codec_path path);

/* The path in use. Any thread. */
enum codec_path codec_path_selected(void);

/* Use `path`, which must be available, from now on in the whole process: for tests and for
 * diagnostics. Any thread; calls that run at the moment may finish on either path. */
void codec_path_select(enum codec_path path);

/* "portable", "avx2": a stable word for logs. */
const char *codec_path_name(enum codec_path path);

#endif
