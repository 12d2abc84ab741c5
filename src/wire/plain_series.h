/*
 * plain_series - series of a 1.0 request in the shape that every sender gives them: labels {name,
 * value} and, behind them, samples {value, timestamp}. Private to wire.
 */
#ifndef WIRE_PLAIN_SERIES_H
#define WIRE_PLAIN_SERIES_H

#include "write_arrays.h"

/* The next label field when it is {name, value}. False: look closer, or none is left. */
bool plain_label_next(struct byte_reader *fields, struct label *label_out);

/*
 * Take a whole series whose message ends in samples: what is before them is its labels, unseen.
 * False: it does not look like that, or labels are not to be trusted, or memory is out; nothing
 * changed but for samples behind the last ones, which are the next to be written.
 */
bool plain_series_trust(struct write_decoder *decoder, struct write_series *series,
                        struct byte_reader *message);

/* Walk plain labels, then plain samples; the message is left at the first other field. False:
 * memory is out. */
bool plain_series_walk(struct write_decoder *decoder, struct write_series *series,
                       struct byte_reader *message);

#endif
