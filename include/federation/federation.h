/*
 * federation - queries over this cluster and others, as if they were one.
 *
 * Every cluster is a place: it evaluates sub-queries over its own shards and adds its external
 * labels to its series by itself, so that an expression means there what it means here. What does
 * not distribute is read as series. A cluster whose external labels no selector fits is not asked.
 * Bytes: docs/protocols/federation.md.
 *
 *   worker: query ──▶ federation_read ──▶ this cluster: the local source and distributor
 *                            └──▶ a request to each other cluster ──▶ thread of transfers (libcurl)
 *
 * Who is asked by another cluster answers from its own shards alone, so nothing goes in circles.
 */
#ifndef FEDERATION_FEDERATION_H
#define FEDERATION_FEDERATION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"
#include "platform/clock.h"
#include "platform/worker_pool.h"
#include "promql/distribution.h"
#include "promql/metadata_source.h"
#include "promql/series_source.h"

/* Of one process. */
enum { FEDERATION_CLUSTERS_MAX = 64, FEDERATION_LABELS_MAX = 32 /* of a cluster */ };

/* What is done about a cluster that does not answer. */
enum federation_partial {
    FEDERATION_WARN,  /* the answer is without it, and says so */
    FEDERATION_ABORT, /* there is no answer */
};

/* Texts are copied; NULL or "" stands for none. */
struct federation_cluster {
    const char *name;
    const char *url;            /* http://host:port or https://…, without a path */
    const struct label *labels; /* [label_count], external ones, in any order */
    size_t label_count;
    const char *ca_path;          /* PEM; none: those of the system */
    const char *certificate_path; /* PEM, shown to the cluster, with its key */
    const char *key_path;
    const char *user; /* with the password: basic authorization */
    const char *password;
    const char *token; /* bearer */
};

struct federation_options {
    const struct federation_cluster *clusters; /* [cluster_count] */
    size_t cluster_count;
    const char *name;    /* of this cluster: the external label `cluster` of its own series */
    uint64_t timeout_ms; /* of a request to a cluster, at most */
    struct clock *clock;
    struct worker_pool *pool;        /* that sub-queries here are shared by; NULL: one thread */
    uint64_t query_memory_max_bytes; /* of a sub-query here; 0: no limit of its own */
    uint64_t samples_max;            /* held by a sub-query here at once; 0: as it asks for */
    struct arena_account *memory;    /* answers of clusters are charged to; NULL: none */
};

struct federation;

/* Starts a thread. Errors: OUT_OF_MEMORY, INVALID (labels), IO. */
enum error_code federation_create(const struct federation_options *options,
                                  struct federation **federation_out, struct error *error);
/* No read may be under way. NULL is fine. */
void federation_destroy(struct federation *federation);

/* --- Reading --------------------------------------------------------------------------------- */

struct federation_warning;

/*
 * What one query or look-up reads, in the caller's memory, as long as it is under way. The first
 * part is for the caller to fill in before federation_read_init.
 */
struct federation_read {
    struct federation *federation;
    enum federation_partial partial;
    struct text tenant;
    struct series_source *source;           /* of this cluster */
    struct metadata_source *metadata;       /* of this cluster */
    struct promql_distributor *distributor; /* of this cluster; NULL: it has none */
    const atomic_bool *canceled;            /* NULL: never */

    /* The federation's. */
    struct federation_read_source {
        struct series_source base; /* first */
        struct federation_read *read;
    } all;
    struct federation_read_metadata {
        struct metadata_source base; /* first */
        struct federation_read *read;
    } all_metadata;
    struct federation_read_distributor {
        struct promql_distributor base; /* first */
        struct federation_read *read;
    } all_distributor;
    pthread_mutex_t lock; /* of the warnings */
    struct federation_warning *warnings;
};

void federation_read_init(struct federation_read *read);
void federation_read_clear(struct federation_read *read);

/* Over all clusters; as long as the read. On a thread that may not wait they end with WOULD_WAIT
 * where another cluster would have to be asked. */
static inline struct series_source *federation_source(struct federation_read *read)
{
    return &read->all.base;
}
static inline struct metadata_source *federation_metadata(struct federation_read *read)
{
    return &read->all_metadata.base;
}
static inline struct promql_distributor *federation_distributor(struct federation_read *read)
{
    return &read->all_distributor.base;
}

/* What the external labels of this cluster's own series are. */
struct labels federation_own_labels(const struct federation *federation);

/*
 * Clusters that sources and metadata went on without; those that a sub-query did are annotations of
 * the query. `position` starts at NULL. False: there are no more. After the reading.
 */
bool federation_next_warning(struct federation_read *read, struct federation_warning **position,
                             struct text *warning_out);

/* --- Looking --------------------------------------------------------------------------------- */

struct federation_statistics {
    const char *name; /* of the cluster; as long as the federation */
    uint64_t asked;
    uint64_t pruned; /* not asked, since no selector fits its labels */
    uint64_t failed;
    bool is_silent; /* nothing comes from it: it is not asked until it answers again */
    uint64_t received_bytes_sub_query;
    uint64_t received_bytes_select;
};
size_t federation_cluster_count(const struct federation *federation);
void federation_statistics(const struct federation *federation, size_t cluster,
                           struct federation_statistics *statistics_out);

#endif
