/*
 * series_check - what a receiver demands of labels, exemplars and metadata. Private to ingest.
 *
 * The rules of Prometheus 3 with UTF-8 names: names and values are UTF-8, names are not empty and
 * not twice, there is a metric name; labels with empty values count as not there.
 */
#ifndef INGEST_SERIES_CHECK_H
#define INGEST_SERIES_CHECK_H

#include "ingest/ingest.h"

/*
 * The canonical labels of a series, in the request's arena. Errors: INVALID and LIMIT, with the
 * reason, OUT_OF_MEMORY.
 */
enum error_code series_check_labels(struct ingest_request *request, uint32_t series,
                                    const struct ingest_limits *limits, struct labels *labels_out,
                                    enum ingest_reason *reason_out, struct error *error);

/* Errors: INVALID (labels, or longer than the 128 characters that OpenMetrics allows). */
enum error_code series_check_exemplar(struct ingest_request *request,
                                      const struct write_exemplar *sent,
                                      struct exemplar *exemplar_out, struct error *error);

/* False: nothing to store. */
bool series_check_metadata(struct ingest_request *request, const struct write_metadata *sent,
                           struct entry_metadata *metadata_out);

#endif
