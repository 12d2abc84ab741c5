#include "kernel_loops.h"

const double POWERS_OF_TEN[DECIMAL_EXPONENT_MAX + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
};

const struct codec_kernels CODEC_KERNELS_PORTABLE = {
    .find_runs = loop_find_runs,
    .scale = loop_scale,
    .subtract = loop_subtract,
    .find_range = loop_find_range,
    .sum_bit_lengths = loop_sum_bit_lengths,
    .make_residuals = loop_make_residuals,
    .count_bit_lengths = loop_count_bit_lengths,
    .sum_quotients = loop_sum_quotients,
    .sum_small_quotients = loop_sum_small_quotients,
    .pack = loop_pack,
    .pack_unary = loop_pack_unary,
    .unpack = loop_unpack,
    .unpack_unary = loop_unpack_unary,
    .integrate = loop_integrate,
    .unscale = loop_unscale,
    .fill = loop_fill,
    .expand_runs = loop_expand_runs,
};
