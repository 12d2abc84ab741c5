/*
 * A node without identity asks its configured peers who they are, again and again.
 *
 *     a peer has founded a cluster that has this very directory      -> the founder it is
 *     a peer is of a cluster                                         -> asks to be let in
 *     all are empty, know the same peers and options, and would      -> founds it
 *     found the very same cluster
 *
 * The last is what makes it one cluster: the candidate is a hash of all names and directories, and
 * a node founds it only when every founder has said that it would, too. Who said so and then hears
 * of another directory has another candidate, for which it needs the word of all again; and of
 * those one has stored an identity by now. So where a cluster was founded, no founder can found
 * another, and each learns of it from any that did.
 */
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "meta_private.h"

enum { HEARD_TICKS = 3, INTRODUCTION_BYTES_MAX = 4 << 20 };

static const uint8_t NOTHING[CLUSTER_ID_BYTES];

/* --- What this node says of itself ----------------------------------------------------------- */

static void introduce(const struct meta *meta, struct introduction *introduction_out)
{
    const struct formation_options *formation = &meta->options.formation;
    const struct cluster_facts *facts = cluster_state_facts(meta_newest(meta));
    struct introduction self = {
        .state = meta->phase == META_PHASE_SEEKING ? INTRODUCTION_EMPTY
                 : meta->is_stored                 ? INTRODUCTION_MEMBER
                                                   : INTRODUCTION_STORING,
        .self = {.identity = meta->options.identity, .traits = meta->options.traits},
        .cluster_name = text_of(facts->founded ? facts->name : meta->formation_name),
        .shard_count = formation->shard_count,
        .replication = formation->replication,
        .spread = formation->spread,
        .version = formation->version,
        .first_group = formation->first_group,
        .peers = text_of(meta->peer_names),
    };
    memcpy(self.candidate, meta->candidate, sizeof self.candidate);
    if (self.state == INTRODUCTION_MEMBER) {
        memcpy(self.cluster_id, meta->cluster_id, sizeof self.cluster_id);
        self.node_id = meta->node_id;
        if (!facts->founded)
            self.founding = (struct bytes){meta->founding.bytes, meta->founding.size};
    }
    *introduction_out = self;
}

static void write_acquaintance(void *context, const struct transport_peer *peer,
                               const struct transport_peer_statistics *statistics)
{
    (void)statistics;
    if (transport_peer_is_connected(peer) && transport_peer_address(peer).size > 0)
        acquaintance_encode(transport_peer_name(peer), transport_peer_address(peer), context);
}

void serve_introduction(void *context, struct transport_answer *answer,
                        const struct transport_question *question)
{
    struct meta *meta = context;
    struct introduction self;
    struct byte_buffer acquaintances = {0}, bytes = {0};
    struct error error = {0};
    (void)question;
    transport_visit_peers(meta->options.transport, write_acquaintance, &acquaintances);
    introduce(meta, &self);
    self.acquaintances = (struct bytes){acquaintances.bytes, acquaintances.size};
    introduction_encode(&self, &bytes);
    bool failed = bytes.failed || acquaintances.failed;
    struct shared_bytes *shared = failed ? NULL : shared_bytes_copy(bytes.bytes, bytes.size);
    byte_buffer_clear(&acquaintances);
    byte_buffer_clear(&bytes);
    if (shared == NULL)
        error_set(&error, ERROR_OUT_OF_MEMORY, "introduction");
    else
        transport_answer_write(answer, shared);
    shared_bytes_unref(shared);
    transport_answer_end(answer, &error);
}

/* --- Asking -------------------------------------------------------------------------------- */

static struct seek_peer *peer_of(struct transport_request *request)
{
    return (struct seek_peer *)((char *)request - offsetof(struct seek_peer, request));
}

static void on_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct seek_peer *peer = peer_of(request);
    if (peer->answer.size + size > INTRODUCTION_BYTES_MAX)
        peer->answer.failed = true;
    byte_buffer_append(&peer->answer, bytes, size);
    transport_consume(request, size);
}

static void judge(struct meta *meta);

/* Known peers stay as they are: their addresses are settings, or of the state. */
static void take_acquaintances(struct meta *meta, struct bytes acquaintances)
{
    struct transport *transport = meta->options.transport;
    struct acquaintance next;
    while (acquaintance_next(&acquaintances, &next)) {
        struct transport_peer *peer;
        struct error error;
        if (strcmp(next.name, meta->options.identity.name) == 0 ||
            transport_find_name(transport, text_of(next.name)) != NULL)
            continue;
        if (transport_add_peer(transport, next.name, next.address, &peer, &error) == ERROR_NONE)
            log_event(LOG_INFO, "meta", "heard of a node", "node=%s address=%s", next.name,
                      next.address);
    }
}

/* Who answers under a name is that node: the transport has seen to it. */
static void take_answer(struct seek_peer *peer)
{
    struct meta *meta = peer->meta;
    struct introduction introduction;
    struct error error;
    enum error_code code =
        introduction_decode(peer->answer.bytes, peer->answer.size, &introduction, &error);
    if (code == ERROR_NONE && strcmp(introduction.self.identity.name, peer->name) != 0)
        code = error_set(&error, ERROR_CORRUPT, "introduction: of another node");
    if (code != ERROR_NONE) {
        meta_report_waiting(meta, "introduction of a peer", error.message);
        return;
    }
    struct byte_buffer former = peer->bytes;
    peer->bytes = peer->answer;
    peer->answer = former;
    peer->latest = introduction;
    peer->heard_ms = meta_now_ms(meta);
    if (meta->phase == META_PHASE_SEEKING)
        judge(meta);
    else
        take_acquaintances(meta, introduction.acquaintances);
}

static void on_done(struct transport_request *request, const struct error *error)
{
    struct seek_peer *peer = peer_of(request);
    struct meta *meta = peer->meta;
    peer->is_asking = false;
    bool is_wanted = meta->phase == META_PHASE_SEEKING || meta->phase == META_PHASE_MEMBER;
    if (error->code == ERROR_NONE && !peer->answer.failed && is_wanted)
        take_answer(peer);
    meta_released(meta);
}

static void ask_peer(struct meta *meta, struct seek_peer *peer)
{
    struct transport_peer *known =
        transport_find_name(meta->options.transport, text_of(peer->name));
    if (known == NULL || peer->is_asking || !transport_peer_is_connected(known))
        return;
    byte_buffer_reset(&peer->answer);
    peer->answer.failed = false;
    peer->is_asking = true;
    peer->request = (struct transport_request){
        .kind = META_KIND_INTRODUCE,
        .class = TRANSPORT_REQUEST,
        .timeout_ms = meta->options.tick_ms,
        .piece = on_piece,
        .done = on_done,
    };
    meta->outstanding++;
    transport_ask(known, &peer->request);
}

/* --- A cluster that is there --------------------------------------------------------------- */

static bool same_identity(const struct cluster_node_identity *left,
                          const struct cluster_node_identity *right)
{
    return strcmp(left->name, right->name) == 0 &&
           memcmp(left->directory_id, right->directory_id, sizeof left->directory_id) == 0;
}

/* The place of this node among the founders, from 1; 0: it is none. */
static uint64_t place_in(const struct meta *meta, const struct cluster_found *found)
{
    for (size_t i = 0; i < found->founder_count; i++)
        if (same_identity(&found->founders[i].identity, &meta->options.identity))
            return i + 1;
    return 0;
}

static bool adopt(struct meta *meta, const struct introduction *peer)
{
    struct cluster_entry entry;
    struct error error;
    uint64_t node_id = 0;
    if (peer->founding.size == 0)
        return false;
    struct arena *arena = arena_create(0);
    if (arena != NULL &&
        cluster_entry_decode(peer->founding.data, peer->founding.size, arena, &entry, &error) ==
            ERROR_NONE &&
        entry.kind == CLUSTER_FOUND &&
        memcmp(entry.found.cluster_id, peer->cluster_id, CLUSTER_ID_BYTES) == 0)
        node_id = place_in(meta, &entry.found);
    arena_destroy(arena);
    if (node_id == 0)
        return false;
    log_event(LOG_INFO, "meta", "a founder of the cluster of a peer", "peer=%s node=%llu",
              peer->self.identity.name, (unsigned long long)node_id);
    meta_decide(meta, peer->cluster_id, node_id, peer->founding);
    return true;
}

__attribute__((format(printf, 2, 3))) static void wait_for(struct meta *meta, const char *format,
                                                           ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(meta->waiting_for, sizeof meta->waiting_for, format, arguments);
    va_end(arguments);
}

/* True: there is one, so that none is founded. */
static bool follow_cluster(struct meta *meta)
{
    for (size_t i = 0; i < meta->peer_count; i++) {
        const struct introduction *latest = &meta->peers[i].latest;
        if (meta->peers[i].heard_ms == 0 || latest->state != INTRODUCTION_MEMBER)
            continue;
        if (!text_equal(latest->cluster_name, text_of(meta->formation_name))) {
            wait_for(meta, "node %s is of cluster '%.*s', this one is configured for '%s'",
                     meta->peers[i].name, TEXT_ARGUMENTS(latest->cluster_name),
                     meta->formation_name);
            return true;
        }
        if (adopt(meta, latest))
            return true;
        wait_for(meta, "the cluster of node %s to let it in", meta->peers[i].name);
        join_ask(meta);
        return true;
    }
    return false;
}

/* --- A cluster to be founded --------------------------------------------------------------- */

/* Of what the candidate is made: whoever answered what. */
static uint64_t hash_of_answers(const struct meta *meta)
{
    struct hash128 hash = {0};
    for (size_t i = 0; i < meta->peer_count; i++) {
        const struct introduction *latest = &meta->peers[i].latest;
        uint8_t bytes[16 + sizeof latest->self + 4];
        memset(bytes, 0, sizeof bytes);
        store_u64(bytes, hash.low);
        store_u64(bytes + 8, hash.high);
        memcpy(bytes + 16, &latest->self, sizeof latest->self);
        store_u32(bytes + 16 + sizeof latest->self, latest->version);
        hash = hash128(bytes, sizeof bytes, HASH_SEED_STORED);
    }
    return hash.low | 1;
}

static void collect_founders(const struct meta *meta, struct cluster_founder *founders,
                             uint32_t *version)
{
    *version = meta->options.formation.version;
    founders[0].identity = meta->options.identity;
    founders[0].traits = meta->options.traits;
    for (size_t i = 0; i < meta->peer_count; i++) {
        const struct introduction *latest = &meta->peers[i].latest;
        founders[i + 1].identity = latest->self.identity;
        founders[i + 1].traits = latest->self.traits;
        if (latest->version < *version)
            *version = latest->version;
    }
}

static enum error_code make_candidate(struct meta *meta, struct arena *arena, struct error *error)
{
    size_t count = meta->peer_count + 1;
    struct formation_options options = meta->options.formation;
    struct cluster_founder *founders = arena_array(arena, count, sizeof *founders);
    struct cluster_entry entry;
    if (founders == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "founding");
    options.name = meta->formation_name;
    collect_founders(meta, founders, &options.version);
    enum error_code code = formation_found(founders, count, &options, arena, &entry, error);
    byte_buffer_reset(&meta->candidate_entry);
    if (code == ERROR_NONE)
        code = cluster_entry_encode(&entry, &meta->candidate_entry, error);
    if (code == ERROR_NONE)
        memcpy(meta->candidate, entry.found.cluster_id, CLUSTER_ID_BYTES);
    return code;
}

/* False: there is none, and it is said why. */
static bool update_candidate(struct meta *meta)
{
    uint64_t hash = hash_of_answers(meta);
    if (meta->candidate_of == hash)
        return true;
    struct arena *arena = arena_create(0);
    struct error error;
    enum error_code code = arena == NULL ? error_set(&error, ERROR_OUT_OF_MEMORY, "founding")
                                         : make_candidate(meta, arena, &error);
    arena_destroy(arena);
    if (code != ERROR_NONE) {
        wait_for(meta, "%.200s", error.message);
        return false;
    }
    meta->candidate_of = hash;
    return true;
}

static void forget_candidate(struct meta *meta)
{
    memset(meta->candidate, 0, sizeof meta->candidate);
    meta->candidate_of = 0;
}

/* Whether the peer would found what this node would; what differs is what it waits for. */
static bool agrees(struct meta *meta, const struct seek_peer *peer)
{
    const struct formation_options *own = &meta->options.formation;
    const struct introduction *latest = &peer->latest;
    uint64_t silent_ms = meta_now_ms(meta) - peer->heard_ms;
    if (peer->heard_ms == 0 || silent_ms > HEARD_TICKS * meta->options.tick_ms)
        wait_for(meta, "node %s to answer", peer->name);
    else if (latest->state == INTRODUCTION_STORING)
        wait_for(meta, "node %s, which is founding", peer->name);
    else if (!text_equal(latest->cluster_name, text_of(meta->formation_name)))
        wait_for(meta, "node %s is configured for cluster '%.*s', this one for '%s'", peer->name,
                 TEXT_ARGUMENTS(latest->cluster_name), meta->formation_name);
    else if (!text_equal(latest->peers, text_of(meta->peer_names)))
        wait_for(meta, "node %s is configured with other peers than this one", peer->name);
    else if (latest->shard_count != own->shard_count)
        wait_for(meta, "node %s is configured for %u shards, this one for %u", peer->name,
                 latest->shard_count, own->shard_count);
    else if (latest->replication != own->replication)
        wait_for(meta, "node %s is configured for replication %u, this one for %u", peer->name,
                 latest->replication, own->replication);
    else if (latest->spread != own->spread)
        wait_for(meta, "node %s is configured for spread %u, this one for %u", peer->name,
                 latest->spread, own->spread);
    else if (latest->first_group != own->first_group)
        wait_for(meta, "node %s counts groups from another number", peer->name);
    else
        return true;
    return false;
}

static bool all_agree(struct meta *meta)
{
    for (size_t i = 0; i < meta->peer_count; i++)
        if (!agrees(meta, &meta->peers[i]))
            return false;
    return true;
}

static bool all_have_the_candidate(struct meta *meta)
{
    for (size_t i = 0; i < meta->peer_count; i++)
        if (memcmp(meta->peers[i].latest.candidate, meta->candidate, CLUSTER_ID_BYTES) != 0) {
            wait_for(meta, "node %s to hear from all peers", meta->peers[i].name);
            return false;
        }
    return memcmp(meta->candidate, NOTHING, sizeof NOTHING) != 0;
}

static void found(struct meta *meta)
{
    struct cluster_entry entry;
    struct error error;
    struct bytes founding = {meta->candidate_entry.bytes, meta->candidate_entry.size};
    struct arena *arena = arena_create(0);
    if (arena != NULL &&
        cluster_entry_decode(founding.data, founding.size, arena, &entry, &error) == ERROR_NONE) {
        uint64_t node_id = place_in(meta, &entry.found);
        log_event(LOG_INFO, "meta", "founds a cluster", "node=%llu founders=%zu",
                  (unsigned long long)node_id, entry.found.founder_count);
        meta_decide(meta, meta->candidate, node_id, founding);
    }
    arena_destroy(arena);
}

static void judge(struct meta *meta)
{
    assert(meta->phase == META_PHASE_SEEKING);
    bool is_alone = meta->options.directory == META_DIRECTORY_HOLDS_SHARDS;
    if (!is_alone && follow_cluster(meta))
        return;
    if (!all_agree(meta)) {
        forget_candidate(meta);
        return;
    }
    if (update_candidate(meta) && all_have_the_candidate(meta))
        found(meta);
}

/* --- Life ---------------------------------------------------------------------------------- */

void seek_acquaintances(struct meta *meta)
{
    for (size_t i = 0; i < meta->peer_count; i++)
        ask_peer(meta, &meta->peers[i]);
}

void seek_tick(struct meta *meta)
{
    for (size_t i = 0; i < meta->peer_count; i++)
        ask_peer(meta, &meta->peers[i]);
    judge(meta);
    if (meta->phase == META_PHASE_SEEKING && meta->waiting_for[0] != '\0')
        meta_report_waiting(meta, "waits", meta->waiting_for);
}

void seek_stop(struct meta *meta)
{
    for (size_t i = 0; i < meta->peer_count; i++)
        if (meta->peers[i].is_asking)
            transport_cancel(&meta->peers[i].request);
}

static int compare_names(const void *left, const void *right)
{
    const struct seek_peer *one = left, *other = right;
    return strcmp(one->name, other->name);
}

static enum error_code add_peers(struct meta *meta, const struct meta_options *options,
                                 struct error *error)
{
    for (size_t i = 0; i < options->peer_count; i++) {
        const struct meta_peer *configured = &options->peers[i];
        struct seek_peer *peer = &meta->peers[meta->peer_count];
        struct transport_peer *known;
        if (strcmp(configured->name, options->identity.name) == 0)
            continue;
        if (strlen(configured->name) > CLUSTER_NAME_BYTES_MAX || options->transport == NULL)
            return error_set(error, ERROR_INVALID, "peer '%.100s'", configured->name);
        enum error_code code = transport_add_peer(options->transport, configured->name,
                                                  configured->address, &known, error);
        if (code != ERROR_NONE)
            return code;
        peer->meta = meta;
        memcpy(peer->name, configured->name, strlen(configured->name));
        meta->peer_count++;
    }
    if (meta->peer_count > 0)
        qsort(meta->peers, meta->peer_count, sizeof *meta->peers, compare_names);
    for (size_t i = 1; i < meta->peer_count; i++)
        if (compare_names(&meta->peers[i - 1], &meta->peers[i]) == 0)
            return error_set(error, ERROR_INVALID, "peer '%s' is named twice", meta->peers[i].name);
    return ERROR_NONE;
}

/* With its own name at its place. */
static void write_names(struct meta *meta, const char *own)
{
    char *at = meta->peer_names;
    size_t before = 0; /* peers whose names are less */
    while (before < meta->peer_count && strcmp(meta->peers[before].name, own) < 0)
        before++;
    for (size_t i = 0; i <= meta->peer_count; i++) {
        const char *name = i == before ? own : meta->peers[i < before ? i : i - 1].name;
        at = stpcpy(at, name);
        *at++ = '\n';
    }
    *at = '\0';
}

enum error_code seek_create(struct meta *meta, const struct meta_options *options,
                            struct error *error)
{
    bool is_alone = options->directory == META_DIRECTORY_HOLDS_SHARDS;
    if (options->peer_count > META_PEERS_MAX)
        return error_set(error, ERROR_INVALID, "%zu peers", options->peer_count);
    meta->peers = calloc(options->peer_count + 1, sizeof *meta->peers);
    meta->peer_names = calloc(options->peer_count + 2, CLUSTER_NAME_BYTES_MAX + 1);
    if (meta->peers == NULL || meta->peer_names == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "peers");
    enum error_code code = add_peers(meta, options, error);
    /* What is there already is a cluster of one; the peers will join it. */
    if (is_alone)
        meta->peer_count = 0;
    if (code == ERROR_NONE)
        write_names(meta, options->identity.name);
    return code;
}

void seek_destroy(struct meta *meta)
{
    for (size_t i = 0; meta->peers != NULL && i < meta->peer_count; i++) {
        byte_buffer_clear(&meta->peers[i].answer);
        byte_buffer_clear(&meta->peers[i].bytes);
    }
    free(meta->peers);
    free(meta->peer_names);
    byte_buffer_clear(&meta->candidate_entry);
}
