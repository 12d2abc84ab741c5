/* The shortest digits of a double, from the C++ library (Ryu). Private to wire. */
#ifndef WIRE_DOUBLE_DIGITS_H
#define WIRE_DOUBLE_DIGITS_H

#include <stddef.h>

enum { DOUBLE_DIGITS_MAX = 17 };

#ifdef __cplusplus
extern "C" {
#endif

/* Of a finite value > 0: value = 0.d1d2d3... * 10^exponent. Returns the number of digits. */
size_t double_shortest_digits(double value, char digits[DOUBLE_DIGITS_MAX], int *exponent_out);

#ifdef __cplusplus
}
#endif

#endif
