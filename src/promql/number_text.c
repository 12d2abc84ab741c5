#include "number_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fewest digits that read back as `value`, as "d.ddde+XX". Returns the decimal exponent. */
static int shortest_digits(double value, char digits[24], int *digit_count)
{
    char text[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    int count = 0;
    const char *position = text;
    for (; *position != 'e'; position++)
        if (*position >= '0' && *position <= '9')
            digits[count++] = *position;
    while (count > 1 && digits[count - 1] == '0')
        count--;
    *digit_count = count;
    return atoi(position + 1);
}

static bool special_text(char *target, double value)
{
    const char *special = NULL;
    if (isnan(value))
        special = "NaN";
    else if (isinf(value))
        special = value > 0 ? "+Inf" : "-Inf";
    else if (value == 0)
        special = signbit(value) ? "-0" : "0";
    if (special == NULL)
        return false;
    strcpy(target, special); /* at most 4 characters */
    return true;
}

const char *decimal_text(char target[DECIMAL_TEXT_BYTES], double value)
{
    if (special_text(target, value))
        return target;
    char digits[24];
    int count;
    int exponent = shortest_digits(fabs(value), digits, &count);
    char *position = target;
    if (value < 0)
        *position++ = '-';
    if (exponent < 0) {
        *position++ = '0';
        *position++ = '.';
        for (int i = -1; i > exponent; i--)
            *position++ = '0';
    }
    for (int i = 0; i < count || i <= exponent; i++) {
        if (exponent >= 0 && i == exponent + 1)
            *position++ = '.';
        *position++ = i < count ? digits[i] : '0';
    }
    *position = '\0';
    return target;
}

const char *number_text(char target[NUMBER_TEXT_BYTES], double value)
{
    /* Go's %g with the fewest digits: decimals from 1e-4 up to below 1e6. */
    enum { EXPONENT_MIN = -4, EXPONENT_MAX = 6 };
    if (special_text(target, value))
        return target;
    char digits[24];
    int count;
    int exponent = shortest_digits(fabs(value), digits, &count);
    if (exponent >= EXPONENT_MIN && exponent < EXPONENT_MAX) {
        char decimal[DECIMAL_TEXT_BYTES];
        decimal_text(decimal, value);
        snprintf(target, NUMBER_TEXT_BYTES, "%s", decimal);
        return target;
    }
    snprintf(target, NUMBER_TEXT_BYTES, "%s%c%s%.*se%c%02d", value < 0 ? "-" : "", digits[0],
             count > 1 ? "." : "", count - 1, digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    return target;
}

const char *open_metrics_number_text(char target[NUMBER_TEXT_BYTES], double value)
{
    number_text(target, value);
    if (strpbrk(target, ".eN") == NULL && strpbrk(target, "I") == NULL)
        strcat(target, ".0"); /* at most 24 characters before */
    return target;
}
