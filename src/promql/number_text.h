/*
 * number_text - numbers as the reference prints them.
 */
#ifndef PROMQL_NUMBER_TEXT_H
#define PROMQL_NUMBER_TEXT_H

/* `value` as Go's %g prints it: the shortest digits that read back, "NaN", "+Inf"; written to
 * `target`, returned. */
enum { NUMBER_TEXT_BYTES = 40 };
const char *number_text(char target[NUMBER_TEXT_BYTES], double value);

/* The same with ".0" where a float would not be seen for one ("1.0"), as OpenMetrics wants. */
const char *open_metrics_number_text(char target[NUMBER_TEXT_BYTES], double value);

/* The same without exponent, as count_values prints it. */
enum { DECIMAL_TEXT_BYTES = 800 };
const char *decimal_text(char target[DECIMAL_TEXT_BYTES], double value);

#endif
