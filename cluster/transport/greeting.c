#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "internal.h"

/* --- Telling ------------------------------------------------------------------------------- */

/* One line on this side; the other side gets the same words and has its own. */
static void report(struct connection *connection, struct text name, const char *what,
                   struct text reason)
{
    struct transport *transport = connection->transport;
    struct transport_peer *peer =
        connection->link != NULL ? connection->link->peer : transport_find_name(transport, name);
    struct log_limit *limit = &transport->stranger_log;
    if (peer != NULL) {
        peer->statistics.refusals++;
        limit = &peer->links->log;
    } else {
        transport->strangers_refused++;
    }
    uint64_t suppressed;
    if (!log_limit_allow(limit, (int64_t)transport_now_ms(transport), &suppressed))
        return;
    char quoted[REFUSAL_TEXT_BYTES_MAX + 2], quoted_name[TRANSPORT_NAME_BYTES_MAX + 3];
    struct text remote = network_stream_remote_address(connection->stream);
    log_event(LOG_WARNING, "transport", what, "peer=%s remote=%.*s reason=%s suppressed=%llu",
              log_quote(quoted_name, sizeof quoted_name, name), TEXT_ARGUMENTS(remote),
              log_quote(quoted, sizeof quoted, reason), (unsigned long long)suppressed);
}

static void refuse(struct connection *connection, struct text name, enum refusal reason,
                   const char *text)
{
    /* Two that dialed at once, or a node that stops: nothing for an operator. */
    if (reason != REFUSED_DUPLICATE && reason != REFUSED_LEAVING)
        report(connection, name, "peer refused", text_of(text));
    peer_connection_refuse(connection, reason, text);
}

/* --- Sending ------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *cluster_id)
{
    static const uint8_t ZERO[TRANSPORT_CLUSTER_ID_BYTES];
    return memcmp(cluster_id, ZERO, sizeof ZERO) == 0;
}

static void say_identity(struct connection *connection)
{
    const struct transport_identity *own = &connection->transport->options.identity;
    uint8_t bytes[TRANSPORT_CLUSTER_ID_BYTES + 8];
    memcpy(bytes, own->cluster_id, TRANSPORT_CLUSTER_ID_BYTES);
    store_u64(bytes + TRANSPORT_CLUSTER_ID_BYTES, own->node_id);
    connection->said_identity = true;
    peer_connection_say(connection, FRAME_IDENTITY, TRANSPORT_CONTROL, 0, bytes, sizeof bytes);
}

void greeting_send(struct connection *connection)
{
    struct transport *transport = connection->transport;
    struct link *link = connection->link;
    uint8_t bytes[HELLO_BYTES_MAX];
    assert(link != NULL);
    struct hello hello = {
        .version_min = transport->options.version_min,
        .version_max = transport->options.version_max,
        .features = TRANSPORT_FEATURES,
        .identity = transport->options.identity,
        .incarnation = transport->options.incarnation,
        .lane = (uint16_t)link->lane,
        .lane_count = (uint16_t)transport->options.lane_count,
        .kind = link->kind,
        .name = text_of(transport->name),
        .expected_name = text_of(link->peer->name),
        .address = text_of(transport->address),
    };
    connection->said_identity = !is_zero(hello.identity.cluster_id);
    size_t size = hello_encode(&hello, bytes);
    peer_connection_say(connection, FRAME_HELLO, TRANSPORT_CONTROL, 0, bytes, size);
}

/* --- Judging ------------------------------------------------------------------------------- */

struct verdict {
    enum refusal reason; /* 0: welcome */
    char text[REFUSAL_TEXT_BYTES_MAX];
};

static const char *cluster_text(const uint8_t *cluster_id, char target[33])
{
    for (size_t i = 0; i < TRANSPORT_CLUSTER_ID_BYTES; i++)
        snprintf(target + 2 * i, 3, "%02x", cluster_id[i]);
    return target;
}

static bool is_same_cluster(const uint8_t *one, const uint8_t *other)
{
    return is_zero(one) || is_zero(other) || memcmp(one, other, TRANSPORT_CLUSTER_ID_BYTES) == 0;
}

static void judge_identity(const struct transport *transport, const struct hello *hello,
                           struct verdict *verdict)
{
    const uint8_t *own = transport->options.identity.cluster_id;
    const uint8_t *theirs = hello->identity.cluster_id;
    char one[33], other[33];
    if (is_same_cluster(own, theirs))
        return;
    verdict->reason = REFUSED_CLUSTER;
    snprintf(verdict->text, sizeof verdict->text,
             "node %.*s is of cluster %s, node %s of cluster %s", TEXT_ARGUMENTS(hello->name),
             cluster_text(theirs, one), transport->name, cluster_text(own, other));
}

/* What needs no peer to be known. */
static void judge(const struct connection *connection, const struct hello *hello,
                  struct verdict *verdict)
{
    const struct transport *transport = connection->transport;
    const struct transport_options *options = &transport->options;
    char *text = verdict->text;
    size_t size = sizeof verdict->text;
    if (hello->version_min > options->version_max || hello->version_max < options->version_min) {
        verdict->reason = REFUSED_VERSION;
        snprintf(text, size, "node %.*s speaks versions %u to %u, node %s %u to %u",
                 TEXT_ARGUMENTS(hello->name), hello->version_min, hello->version_max,
                 transport->name, options->version_min, options->version_max);
    } else if (text_equal(hello->name, text_of(transport->name))) {
        verdict->reason = REFUSED_SELF;
        snprintf(text, size, "both nodes are called %s", transport->name);
    } else if (hello->expected_name.size > 0 &&
               !text_equal(hello->expected_name, text_of(transport->name))) {
        verdict->reason = REFUSED_NAME;
        snprintf(text, size, "this is node %s, not %.*s", transport->name,
                 TEXT_ARGUMENTS(hello->expected_name));
    } else if (connection->is_dialed &&
               !text_equal(hello->name, text_of(connection->link->peer->name))) {
        verdict->reason = REFUSED_NAME;
        snprintf(text, size, "node %.*s answers where node %s should be",
                 TEXT_ARGUMENTS(hello->name), connection->link->peer->name);
    } else if (hello->lane % options->lane_count != options->lane) {
        verdict->reason = REFUSED_LANE;
        snprintf(text, size, "lane %u came to lane %u of %u", hello->lane, options->lane,
                 options->lane_count);
    } else if (transport->is_closing) {
        verdict->reason = REFUSED_LEAVING;
        snprintf(text, size, "node %s is stopping", transport->name);
    } else {
        judge_identity(transport, hello, verdict);
    }
}

/* The peer that says hello, made if it may be; NULL: refused. */
static struct transport_peer *find_peer(struct connection *connection, const struct hello *hello,
                                        struct verdict *verdict)
{
    struct transport *transport = connection->transport;
    const struct transport_options *options = &transport->options;
    struct transport_peer *peer = transport_find_name(transport, hello->name);
    if (peer != NULL)
        return peer;
    struct transport_stranger stranger = {
        .name = hello->name,
        .address = hello->address,
        .node_id = hello->identity.node_id,
        .incarnation = hello->incarnation,
        .is_joining = is_zero(hello->identity.cluster_id),
    };
    if (options->events->admit != NULL && options->events->admit(options->context, &stranger))
        peer = transport_find_name(transport, hello->name);
    else
        verdict->reason = REFUSED_UNKNOWN;
    if (peer == NULL && verdict->reason == 0)
        peer = peer_create(transport, hello->name);
    if (peer == NULL) {
        verdict->reason = REFUSED_UNKNOWN;
        snprintf(verdict->text, sizeof verdict->text, "node %s does not know node %.*s",
                 transport->name, TEXT_ARGUMENTS(hello->name));
    }
    return peer;
}

/* What the hello says of its node. */
static void learn(struct transport_peer *peer, const struct hello *hello)
{
    if (hello->identity.node_id != 0)
        peer->node_id = hello->identity.node_id;
    peer->incarnation = hello->incarnation;
    peer->lane_count = hello->lane_count;
    if (!peer->has_own_address && hello->address.size > 0)
        snprintf(peer->address, sizeof peer->address, "%.*s", TEXT_ARGUMENTS(hello->address));
}

/* --- Taking -------------------------------------------------------------------------------- */

void greeting_take(struct connection *connection, const struct frame *frame)
{
    struct hello hello;
    struct error error;
    struct verdict verdict = {0};
    if (hello_decode(frame->payload, frame->payload_bytes, &hello, &error) != ERROR_NONE) {
        peer_connection_break(connection, &error);
        return;
    }
    judge(connection, &hello, &verdict);
    struct transport_peer *peer = NULL;
    if (verdict.reason == 0)
        peer = find_peer(connection, &hello, &verdict);
    if (verdict.reason != 0) {
        refuse(connection, hello.name, verdict.reason, verdict.text);
        return;
    }
    struct link *link = peer_link(peer, hello.kind, hello.lane);
    if (link == NULL) {
        error_set(&error, ERROR_OUT_OF_MEMORY, "out of memory");
        peer_connection_close(connection, &error);
        return;
    }
    if (connection->is_dialed && link != connection->link) {
        refuse(connection, hello.name, REFUSED_PROTOCOL, "the answer is for another lane or kind");
        return;
    }
    connection->kind = hello.kind;
    connection->incarnation = hello.incarnation;
    if (!link_prefers(link, connection)) {
        refuse(connection, hello.name, REFUSED_DUPLICATE, "there is a connection already");
        return;
    }
    learn(peer, &hello);
    connection->features = hello.features & TRANSPORT_FEATURES;
    connection->link = link;
    if (!connection->is_dialed)
        greeting_send(connection);
    if (connection->state != CONNECTION_GREETING)
        return; /* there was no memory for it */
    link_stand(link, connection);
    /* It became known while the answer was on its way. */
    if (!connection->said_identity && !is_zero(connection->transport->options.identity.cluster_id))
        say_identity(connection);
}

void greeting_refused(struct connection *connection, const struct frame *frame)
{
    enum refusal reason;
    struct text text;
    struct error error;
    if (refusal_decode(frame->payload, frame->payload_bytes, &reason, &text, &error) !=
        ERROR_NONE) {
        peer_connection_break(connection, &error);
        return;
    }
    struct text name = TEXT("unknown");
    if (connection->link != NULL)
        name = text_of(connection->link->peer->name);
    if (reason != REFUSED_DUPLICATE && reason != REFUSED_LEAVING)
        report(connection, name, "refused by peer", text);
    connection->was_refused = true;
    error_set(&error, ERROR_CLOSED, "refused: %.*s", TEXT_ARGUMENTS(text));
    peer_connection_close(connection, &error);
}

/* --- Identity that becomes known ----------------------------------------------------------- */

void greeting_identity(struct connection *connection, const struct frame *frame)
{
    struct error error;
    struct transport *transport = connection->transport;
    if (frame->payload_bytes != TRANSPORT_CLUSTER_ID_BYTES + 8) {
        error_set(&error, ERROR_CORRUPT, "identity: %u bytes", frame->payload_bytes);
        peer_connection_break(connection, &error);
        return;
    }
    uint64_t node_id = load_u64(frame->payload + TRANSPORT_CLUSTER_ID_BYTES);
    if (!is_same_cluster(frame->payload, transport->options.identity.cluster_id)) {
        refuse(connection, text_of(connection->peer->name), REFUSED_CLUSTER,
               "the node joined another cluster");
        return;
    }
    if (node_id != 0)
        connection->peer->node_id = node_id;
}

void transport_set_identity(struct transport *transport, const struct transport_identity *identity)
{
    struct transport_identity *own = &transport->options.identity;
    assert(is_zero(own->cluster_id) ||
           memcmp(own->cluster_id, identity->cluster_id, TRANSPORT_CLUSTER_ID_BYTES) == 0);
    *own = *identity;
    for (struct connection *connection = transport->connections; connection != NULL;
         connection = connection->next)
        if (connection->state == CONNECTION_STANDING)
            say_identity(connection);
}
