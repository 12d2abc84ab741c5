#include "group/link.h"

#include <stdlib.h>

#include "group/group.h"
#include "message.h"
#include "transport/transport.h"

struct group_link {
    struct group_transport base;
    struct transport *transport;
    struct group_host *host;
};

static bool link_send(struct group_transport *self, uint64_t group_id, uint64_t node_id,
                      uint8_t *bytes, size_t size_bytes)
{
    struct group_link *link = (struct group_link *)self;
    struct transport_peer *peer = transport_find_node(link->transport, node_id);
    struct shared_bytes *shared = peer == NULL ? NULL : shared_bytes_copy(bytes, size_bytes);
    free(bytes);
    if (shared == NULL)
        return false;
    struct transport_channel channel = {.kind = GROUP_LINK_KIND, .id = group_id};
    enum transport_class class =
        message_is_bulky(shared->bytes, shared->size) ? TRANSPORT_APPEND : TRANSPORT_CONTROL;
    bool sent = transport_send(peer, class, channel, shared);
    shared_bytes_unref(shared);
    return sent;
}

static const struct group_transport_operations OPERATIONS = {.send = link_send};

static void link_receive(void *context, const struct transport_message *message)
{
    struct group_link *link = context;
    uint64_t node_id = transport_peer_node_id(message->peer);
    if (link->host != NULL && node_id != 0)
        group_host_receive(link->host, message->channel.id, node_id, message->bytes, message->size);
}

enum error_code group_link_create(struct transport *transport, struct group_link **link_out,
                                  struct error *error)
{
    struct group_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "link of groups");
    link->base.operations = &OPERATIONS;
    link->transport = transport;
    transport_on_message(transport, GROUP_LINK_KIND, link_receive, link);
    *link_out = link;
    return ERROR_NONE;
}

void group_link_destroy(struct group_link *link)
{
    free(link);
}

struct group_transport *group_link_transport(struct group_link *link)
{
    return &link->base;
}

void group_link_deliver_to(struct group_link *link, struct group_host *host)
{
    link->host = host;
}

void group_link_disconnected(struct group_link *link, const struct transport_peer *peer)
{
    if (link->host != NULL && transport_peer_node_id(peer) != 0)
        group_host_peer_lost(link->host, transport_peer_node_id(peer));
}

void group_link_drained(struct group_link *link, const struct transport_peer *peer)
{
    if (link->host != NULL && transport_peer_node_id(peer) != 0)
        group_host_peer_drained(link->host, transport_peer_node_id(peer));
}
