/*
 * ingest_private - a request on its way through the module, step by step. Private to ingest.
 *
 *   ingest.c    decompress, decode          portion.c     how much of it goes at a time
 *   placement.c which shard, which id       parts.c       columns for each shard
 *   dispatch.c  send, learn from answers,   refusals.c    what was wrong
 *               send again
 *   outcome.c   how it ends
 */
#ifndef INGEST_INGEST_PRIVATE_H
#define INGEST_INGEST_PRIVATE_H

#include "base/log.h"
#include "ingest/ingest.h"

#include "alias_table.h"
#include "portion.h"
#include "tenant_rate.h"

struct ingest {
    struct ingest_options options;
    struct slot_map slots;
    struct alias_table aliases;
    struct log_limit log_limit;
    uint64_t in_flight;
    struct tenant_rate rate;
    struct ingest_work *waiting; /* to send something again */
    uint64_t waiting_count;
    uint64_t last_retry_ns; /* draining; monotonic, UINT64_MAX: it is not */
};

/* Where a series of the request goes. */
struct destination {
    uint64_t series_id; /* or SHARD_SERIES_NEW | k */
    uint32_t shard;     /* SHARD_NONE: not known yet, refused, or settled */
    uint16_t slot;      /* of a series without alias */
    bool learned : 1;   /* the shard gave the id just now */
    bool settled : 1;   /* answered or refused: when others are sent again, it is not */
    bool judged : 1;    /* what of it is refused here was counted */
};

#define SHARD_NONE UINT32_MAX

/* A series that is to be sent with its labels. */
struct placed_series {
    struct shard_new_series series;
    uint32_t origin;
};

/* Where a statement of metadata goes. */
struct placed_metadata {
    struct entry_metadata metadata;
    uint32_t shard; /* SHARD_NONE: refused */
    bool checked;
    bool settled;
};

/* The part of a request for one shard. */
struct shard_part {
    struct replica_write write; /* first */
    struct ingest_request *request;
    struct shard_part *next; /* of the attempt */
    uint32_t shard;
    size_t float_count;
    size_t histogram_count;
    size_t exemplar_count;
    size_t metadata_count;
    size_t new_count;
    uint32_t *new_origins; /* [new_count], series of the request */
    /* What there is room for: an attempt after the first mostly needs no new memory. */
    size_t float_room, histogram_room, exemplar_room, new_room;
    bool sent;
    bool again; /* nothing of it counts, it is to be sent again */
};

struct ingest_work {
    struct ingest_request *request;
    struct destination *destinations; /* [series_count] */
    bool any_unknown;                 /* a series without an alias */
    struct portion portion;           /* of the request, under way; the following are for it */
    struct placed_series *placed;     /* [placed_count], those without alias, not refused */
    size_t placed_count;
    size_t placed_room;
    struct placed_metadata *placed_metadata; /* [metadata_count] of the request, NULL: not yet */
    struct shard_part **part_of_shard;       /* [shard_count], NULL: none; it only grows */
    uint32_t shard_count;
    struct shard_part *parts; /* those there are */
    size_t learned_count;     /* series whose ids the shards gave */
    size_t created_count;     /* those of them that are new there */
    size_t outstanding;
    unsigned stale_attempts;
    const struct shard_part *failed; /* the last one that was unavailable */
    bool unavailable;
    uint64_t pause_ms;
    struct timer timer;
    struct ingest_work *next, **link; /* of those that wait */
    size_t refused_counts[INGEST_REASONS];
    size_t refused_total;
};

/* --- Refusals: the first gives the answer its words, all are counted -------------------------- */

/* `series` in words, may be empty. */
void ingest_refuse(struct ingest_request *request, enum ingest_reason reason, size_t count,
                   const char *series, const char *text);
/* All samples of a series. */
void ingest_refuse_series(struct ingest_request *request, uint32_t series,
                          enum ingest_reason reason, const char *text);
/* One of its samples. */
void ingest_refuse_sample(struct ingest_request *request, uint32_t series,
                          enum ingest_reason reason, const char *text);
/* The labels of a series as far as they can be read; otherwise its place. Returns `target`. */
const char *ingest_format_labels(const struct ingest_request *request, uint32_t series,
                                 char *target, size_t size);
/* Every sample that was refused by the shard of a part. */
void ingest_note_refusals(struct shard_part *part);
/* At most now and then. */
void ingest_log_refusals(struct ingest_request *request, size_t refused);

/* --- Steps ------------------------------------------------------------------------------------ */

/* Destinations of those of the series [first, end) whose aliases are known; settled ones stay as
 * they are. */
void ingest_find_aliases(struct ingest_request *request, size_t first, size_t end);

/* Whether the labels of all series were looked at, now or when their alias was learned. If not, the
 * body is to be decoded anew. */
bool ingest_labels_are_whole(const struct ingest_request *request);

/* Destinations of the other series of the portion, by their labels; none for those that are
 * refused. The portion may end earlier then. Errors: OUT_OF_MEMORY. */
enum error_code ingest_place(struct ingest_request *request, struct error *error);

/* Before a portion is sent again: what was answered is settled, other series are looked for anew,
 * since ids, shards and what is known of them may have changed. */
void ingest_place_again(struct ingest_request *request);

/* The columns for each shard. Errors: OUT_OF_MEMORY. */
enum error_code ingest_build_parts(struct ingest_request *request, struct error *error);

/* Send the portions one after the other; ends the request. */
void ingest_dispatch(struct ingest_request *request);

/* It waits to send something again, and shall not. */
void ingest_stop_waiting(struct ingest_work *work);

/* --- Ends ------------------------------------------------------------------------------------- */

/* Before anything was sent: the request as a whole. */
void ingest_fail(struct ingest_request *request, enum ingest_status status,
                 enum ingest_reason reason, const struct error *error);
/* All shards have answered. */
void ingest_conclude(struct ingest_request *request);

#endif
