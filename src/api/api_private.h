/*
 * api_private - what the endpoints share.
 */
#ifndef API_API_PRIVATE_H
#define API_API_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "base/limits.h"
#include "base/memory_budget.h"
#include "platform/parallel_sort.h"
#include "promql/parser.h"
#include "wire/json_writer.h"

/* The last answer of status/tsdb. */
struct api_cardinality {
    pthread_mutex_t lock;
    struct byte_buffer json; /* empty: none */
    char tenant[TENANT_ID_BYTES_MAX + 1];
    uint64_t limit;
    uint64_t fresh_until_ns;
};

struct api {
    struct api_options options;
    struct api_loop *loops;
    struct counter *requests_by_class[6]; /* by hundreds of the status */
    struct distribution *request_seconds;
    struct api_cardinality cardinality;
    _Atomic uint64_t write_memory_bytes;
    _Atomic size_t internal_serving; /* questions of other clusters */
};

/* Prometheus' error types and their status. */
enum api_error {
    API_BAD_DATA,     /* 400 */
    API_EXECUTION,    /* 422 */
    API_CANCELED,     /* 499 */
    API_TIMEOUT,      /* 503 */
    API_INTERNAL,     /* 500 */
    API_UNAVAILABLE,  /* 503 */
    API_NOT_FOUND,    /* 404 */
    API_UNAUTHORIZED, /* 401 */
    API_FORBIDDEN,    /* 403 */
    API_DISABLED,     /* 500, as "unavailable": asking again does not help */
    API_ERRORS
};

static inline struct api *api_of(struct http_request *request)
{
    return http_request_context(request);
}

static inline enum error_code api_memory_error(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the request needs more memory than it may take");
}

/* {"status":"error","errorType":...,"error":...} with the status of `kind`. */
void api_respond_error(struct http_request *request, enum api_error kind, const char *message);

/* The same, the kind chosen by the code; INVALID becomes `invalid_kind`. */
void api_respond_code(struct http_request *request, const struct error *error,
                      enum api_error invalid_kind);

/* Status and kind of an error, for those who write the body themselves. */
enum api_error api_error_of(enum error_code code, enum api_error invalid_kind);
unsigned api_error_status(enum api_error kind);

/* {"status":"success","data": + data + } ; takes over the buffer. */
void api_respond_data(struct http_request *request, struct byte_buffer *data);

/* A body that a JSON endpoint made by itself; takes over the buffer. */
void api_respond_json(struct http_request *request, unsigned status, struct byte_buffer *body);

/* An error as text, as Prometheus answers it outside of /api. */
void api_respond_plain_error(struct http_request *request, const struct error *error,
                             enum api_error invalid_kind);

void api_respond_status(struct http_request *request, unsigned status);
void api_respond_text(struct http_request *request, unsigned status, const char *text);

/*
 * The tenant of the request: X-Scope-OrgID when tenants are enabled, "anonymous" otherwise. On an
 * error the request has been answered.
 */
bool api_tenant(struct http_request *request, struct text *tenant_out);

/* Parameters of query and form; on an error the request has been answered. */
bool api_parameters(struct http_request *request, const struct http_parameters **parameters_out);

/* A time: seconds with decimals or RFC 3339. Errors: INVALID, naming the parameter, in the words of
 * Prometheus, which differ where the parameter is required. */
enum error_code api_time(const struct http_parameters *parameters, struct text name,
                         int64_t default_ms, int64_t *time_ms_out, struct error *error);

enum error_code api_required_time(const struct http_parameters *parameters, struct text name,
                                  int64_t *time_ms_out, struct error *error);

/* A duration in nanoseconds: seconds with decimals, or Prometheus' notation. Errors: INVALID; the
 * message names the parameter where it is required, else the caller adds that. */
enum error_code api_duration(const struct http_parameters *parameters, struct text name,
                             int64_t default_ns, int64_t *duration_ns_out, struct error *error);
enum error_code api_required_duration(const struct http_parameters *parameters, struct text name,
                                      int64_t *duration_ns_out, struct error *error);

/* An answer up to this size is made at once, where the query or look-up ran. */
enum { API_FIRST_PIECE_BYTES = 512 * 1024 };

#define API_NO_LIMIT UINT64_MAX

/* A number; none, like 0, is API_NO_LIMIT. Errors: INVALID. */
enum error_code api_limit(const struct http_parameters *parameters, struct text name,
                          uint64_t *limit_out, struct error *error);

/*
 * A label name of a path, where U__a_2e_b stands for a.b: the name itself when it is not escaped
 * (or only looks so), otherwise in `arena`. Data is NULL when memory is out.
 */
struct text api_unescape_name(struct text name, struct arena *arena);

enum { NANOSECONDS_PER_MILLISECOND = 1000000 };

/* When nothing is given, start and end cover everything that can be stored. */
#define API_TIME_MIN (INT64_MIN / 2)
#define API_TIME_MAX (INT64_MAX / 2)

/* Endpoints, by file. */
void api_write(struct http_request *request); /* write.c */
/* write.c: refuse what is not for the client's tenant, and writes before their body, of clients
 * that ask first. A hook of the servers. */
enum http_admission api_admit(void *context, struct http_request *request);
void api_query(struct http_request *request);               /* query.c */
void api_query_range(struct http_request *request);         /* query.c */
void api_format_query(struct http_request *request);        /* language.c */
void api_parse_query(struct http_request *request);         /* language.c */
void api_series(struct http_request *request);              /* series.c */
void api_labels(struct http_request *request);              /* series.c */
void api_label_values(struct http_request *request);        /* series.c */
void api_query_exemplars(struct http_request *request);     /* exemplars.c */
void api_metadata(struct http_request *request);            /* metadata.c */
void api_federate(struct http_request *request);            /* federate.c */
void api_remote_read(struct http_request *request);         /* remote_read.c */
void api_internal_sub_query(struct http_request *request);  /* internal.c */
void api_internal_select(struct http_request *request);     /* internal.c */
void api_search_metric_names(struct http_request *request); /* search.c */
void api_search_label_names(struct http_request *request);
void api_search_label_values(struct http_request *request);
void api_status_buildinfo(struct http_request *request); /* status.c */
void api_status_runtimeinfo(struct http_request *request);
void api_status_flags(struct http_request *request);
void api_status_config(struct http_request *request);
void api_status_tsdb(struct http_request *request);         /* cardinality.c */
void api_status_blocks(struct http_request *request);       /* status_blocks.c */
void api_status_self_metrics(struct http_request *request); /* self_metrics.c */
void api_status_walreplay(struct http_request *request);
void api_features(struct http_request *request);       /* features.c */
void api_openapi(struct http_request *request);        /* openapi.c */
void api_active_queries(struct http_request *request); /* active_queries.c */
void api_kill_query(struct http_request *request);     /* active_queries.c */
void api_cluster(struct http_request *request);
void api_cluster_drain(struct http_request *request);
void api_cluster_undrain(struct http_request *request);
void api_cluster_remove(struct http_request *request);
void api_cluster_rebalance(struct http_request *request);
void api_cluster_hold_version(struct http_request *request);
void api_cluster_raise_version(struct http_request *request);
void api_cluster_replication(struct http_request *request);
void api_cluster_split(struct http_request *request);
void api_cluster_verify(struct http_request *request);
void api_cluster_verify_look(struct http_request *request);
void api_cluster_recover_quorum(struct http_request *request);
void api_healthy(struct http_request *request);
void api_ready(struct http_request *request);
void api_metrics(struct http_request *request);
void api_empty_rules(struct http_request *request);
void api_empty_alerts(struct http_request *request);
void api_empty_targets(struct http_request *request);
void api_empty_targets_metadata(struct http_request *request);
void api_empty_alertmanagers(struct http_request *request);
void api_empty_scrape_pools(struct http_request *request);
void api_no_scrape_pool(struct http_request *request);
void api_no_relabel_steps(struct http_request *request);
void api_empty_notifications(struct http_request *request);
void api_no_live_notifications(struct http_request *request);
void api_reload(struct http_request *request); /* admin.c */
void api_flush(struct http_request *request);
void api_delete_series(struct http_request *request);
void api_clean_tombstones(struct http_request *request);
void api_tenant_delete(struct http_request *request);
void api_tenant_status(struct http_request *request);
void api_compactor_delete_tenant(struct http_request *request);
void api_compactor_tenant_status(struct http_request *request);
void api_snapshot(struct http_request *request);
void api_admin_disabled(struct http_request *request);

/*
 * A tree in JSON, in the form of Prometheus' parse_query (syntax_tree.c). A tree is much larger
 * than its text: one that would pass API_SYNTAX_TREE_BYTES_MAX is cut there, of no use.
 */
enum { API_SYNTAX_TREE_BYTES_MAX = 16 * 1024 * 1024 };
void api_append_syntax_tree(struct byte_buffer *json, const struct expression *expression);

/* Of all shards together. */
struct shard_statistics api_sum_statistics(struct api *api);

/* The selectors of every value of a parameter (match[], and match for some). */
struct api_selectors {
    struct promql_query *queries; /* [count], in the arena */
    size_t count;
};
/* Errors: INVALID, the parameter not named; OUT_OF_MEMORY. */
enum error_code api_selectors_parse(const struct http_parameters *parameters, struct text name,
                                    struct arena *arena, struct api_selectors *selectors_out,
                                    struct error *error);
void api_selectors_clear(struct api_selectors *selectors);

/* What to select for one of them. */
struct series_request api_series_request(const struct promql_query *selector, struct text tenant,
                                         int64_t start_ms, int64_t end_ms, enum series_need need,
                                         struct arena *arena);

/* --- reading.c: what requests read ---------------------------------------------------------- */

/* With `X-Read-Consistency: strong` replicas that are confirmed to lead. */
enum fanout_read api_read_consistency(const struct http_request *request);

/* What one query or look-up reads: all shards, and those of other clusters. Zero-initialise. */
struct api_reading {
    struct series_source *source;
    struct metadata_source *metadata;       /* NULL: that of the replicas of this node */
    struct promql_distributor *distributor; /* NULL: all is evaluated here */
    struct fanout_distributor within;
    struct federation_read across;
    bool is_federated;
};

/* `tenant` and `canceled` live as long as the reading. Errors: INVALID (a parameter). */
enum error_code api_reading_open(struct http_request *request,
                                 const struct http_parameters *parameters, struct text tenant,
                                 const atomic_bool *canceled, struct api_reading *reading,
                                 struct error *error);
void api_reading_close(struct api_reading *reading);

/* Append what it went without to the list of warnings, which it begins when `is_first`; returns
 * whether there is none still. */
bool api_reading_warnings(struct api_reading *reading, bool is_first, struct byte_buffer *json);

struct api_lookup;
struct api_lookup_kind;

/* What is known of metrics, likewise, as shard_visit_metadata. *damaged_out: some of it was lost.
 * Errors: those of metadata_source_visit. */
enum error_code api_visit_metadata(struct api_lookup *lookup, shard_metadata_visit *visit,
                                   void *context, bool *damaged_out, struct error *error);

/*
 * A look-up on a worker: parameters decoded before, JSON data out. Made by api_lookup_start.
 */
struct api_lookup {
    struct frontend_job job; /* first */
    const struct api_lookup_kind *kind;
    struct http_producer producer;
    struct http_request *request;
    struct api *api;
    struct text tenant;
    struct api_reading reading;   /* what it reads */
    struct series_source *source; /* of it */
    struct memory_budget memory;  /* charged on to the queries' */
    struct arena *arena;          /* charged to it */
    struct api_selectors selectors;
    struct promql_query query; /* of exemplars */
    int64_t start_ms;
    int64_t end_ms;   /* may be before the start: nothing is found */
    uint64_t limit;   /* API_NO_LIMIT: none */
    struct text name; /* of a label or metric */

    /* A list that was found: shown up to the limit, piece by piece as the client takes it. */
    const void *items; /* [item_count], in the arena or the sets, in order, each once */
    void *state;       /* of the kind, between items */
    size_t item_count;
    size_t next_item;
    struct series_set **sets; /* [set_count], closed with the look-up */
    size_t set_count;

    struct byte_buffer answer;    /* the whole, or the first piece of a long one */
    const char *warning;          /* about what is in the answer; NULL: none */
    struct text content_type;     /* JSON when nothing else was set */
    struct text content_encoding; /* empty: none but what the server adds */
    struct error failure;         /* of an item; the answer ends there */
    bool is_complete;
    bool is_empty; /* no data at all: 204 */
};

struct api_lookup_kind {
    const char *name; /* among the queries under way */
    /* On the loop: decode the parameters. INVALID is bad data. */
    enum error_code (*read)(struct api_lookup *lookup, const struct http_parameters *parameters,
                            struct error *error);
    /* On a worker: find the items; or, without `append`, add the JSON of the answer's data behind
     * what is there. */
    enum error_code (*run)(struct api_lookup *lookup, struct byte_buffer *data,
                           struct error *error);
    /* `run` may be given up and begun anew, and the subject of the job says all that it depends on.
     */
    bool is_repeatable;
    /* The JSON of one item. Who cannot go on leaves the reason in `failure`. */
    void (*append)(struct api_lookup *lookup, size_t item, struct byte_buffer *piece);
    /* The rest is for answers without the envelope: items stand one behind the other, and `read`
     * sets the look-up's content_type. */
    bool is_plain;
    bool has_plain_errors; /* text, and 400 where the envelope would say 422 */
    void (*finish)(struct api_lookup *lookup, struct byte_buffer *piece); /* behind them */
    void (*clear)(struct api_lookup *lookup);                             /* what is left of it */
};

/* Read the parameters and run (lookup.c); answers in any case. */
void api_lookup_start(struct http_request *request, struct text name,
                      const struct api_lookup_kind *kind);

/* start and end, everything when not given. Errors: INVALID. */
enum error_code api_lookup_read_times(struct api_lookup *lookup,
                                      const struct http_parameters *parameters,
                                      struct error *error);

/* What to select for one of the selectors, or for everything when there is none. */
struct series_request api_lookup_request(struct api_lookup *lookup, size_t selector,
                                         enum series_need need);

/* The labels of all series of a set, in the arena: labels_out[set->count]. */
enum error_code api_lookup_labels(struct api_lookup *lookup, struct series_set *set,
                                  struct labels *labels_out, struct error *error);

/* Sort items[count], until the client leaves. Errors: CANCELED, OUT_OF_MEMORY. */
enum error_code api_lookup_sort(struct api_lookup *lookup, void *items, size_t count,
                                size_t item_bytes, item_compare *compare, struct error *error);

/* Sorted values of the look-up's label, or names of labels when it has none, that series of the
 * selectors have; in its arena. */
enum error_code api_lookup_texts(struct api_lookup *lookup, const struct text **texts_out,
                                 size_t *count_out, struct error *error);

#endif
