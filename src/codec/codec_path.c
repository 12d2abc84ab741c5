#include "codec/codec_path.h"

#include <assert.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdatomic.h>
#include <stddef.h>

#include "kernels.h"

/* The one piece of process state of this module; every value of it gives the same results. */
static _Atomic(const struct codec_kernels *) selected_kernels;

static const struct codec_kernels *kernels_of(enum codec_path path)
{
    switch (path) {
    case CODEC_PATH_PORTABLE:
        return &CODEC_KERNELS_PORTABLE;
#if defined(__x86_64__)
    case CODEC_PATH_AVX2:
        return &CODEC_KERNELS_AVX2;
#endif
    default:
        return NULL;
    }
}

#if defined(__x86_64__)
/* LZCNT, which clang's __builtin_cpu_supports does not know; without it the instruction would
 * silently be BSR. */
static bool has_lzcnt(void)
{
    const unsigned EXTENDED_FEATURES = 0x80000001;
    enum { LZCNT_BIT = 1 << 5 };
    unsigned a, b, c, d;
    return __get_cpuid(EXTENDED_FEATURES, &a, &b, &c, &d) != 0 && (c & LZCNT_BIT) != 0;
}
#endif

bool codec_path_is_available(enum codec_path path)
{
#if defined(__x86_64__)
    if (path == CODEC_PATH_AVX2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
               __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && has_lzcnt();
#endif
    return path == CODEC_PATH_PORTABLE;
}

const struct codec_kernels *codec_kernels(void)
{
    const struct codec_kernels *kernels =
        atomic_load_explicit(&selected_kernels, memory_order_relaxed);
    if (kernels != NULL)
        return kernels;
    bool vectors = codec_path_is_available(CODEC_PATH_AVX2);
    codec_path_select(vectors ? CODEC_PATH_AVX2 : CODEC_PATH_PORTABLE);
    return atomic_load_explicit(&selected_kernels, memory_order_relaxed);
}

enum codec_path codec_path_selected(void)
{
    return codec_kernels() == &CODEC_KERNELS_PORTABLE ? CODEC_PATH_PORTABLE : CODEC_PATH_AVX2;
}

void codec_path_select(enum codec_path path)
{
    assert(codec_path_is_available(path));
    atomic_store_explicit(&selected_kernels, kernels_of(path), memory_order_relaxed);
}

const char *codec_path_name(enum codec_path path)
{
    return path == CODEC_PATH_AVX2 ? "avx2" : "portable";
}
