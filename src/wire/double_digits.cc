#include "double_digits.h"

#include <cassert>
#include <charconv>

size_t double_shortest_digits(double value, char digits[DOUBLE_DIGITS_MAX], int *exponent_out)
{
    // d.ddde[+-]dd
    char text[32];
    std::to_chars_result result =
        std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
    assert(result.ec == std::errc());
    size_t count = 0;
    const char *at = text;
    for (; at < result.ptr && *at != 'e'; at++)
        if (*at != '.')
            digits[count++] = *at;
    int exponent = 0;
    at++; // the e
    if (*at == '+')
        at++; // from_chars takes a minus only
    std::from_chars(at, result.ptr, exponent);
    *exponent_out = exponent + 1;
    return count;
}
