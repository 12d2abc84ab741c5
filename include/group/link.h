/*
 * link - the messages of a loop's groups on their way over the transport of the same lane.
 *
 * Votes, heartbeats and answers are CONTROL, so that nothing large is ever before them; entries and
 * snapshots are APPEND. A channel a group bounds what a slow peer costs. On the loop's thread.
 */
#ifndef GROUP_LINK_H
#define GROUP_LINK_H

#include <stdint.h>

#include "base/error.h"
#include "group/transport.h"

struct group_host;
struct group_link;
struct transport;
struct transport_peer;

enum { GROUP_LINK_KIND = 1 }; /* of messages in the transport */

/* The transport outlives it, and has no connection yet. Errors: OUT_OF_MEMORY. */
enum error_code group_link_create(struct transport *transport, struct group_link **link_out,
                                  struct error *error);

/* After its host. NULL is fine. */
void group_link_destroy(struct group_link *link);

/* For group_host_options. */
struct group_transport *group_link_transport(struct group_link *link);

/* Where messages go from now on; NULL: nowhere. */
void group_link_deliver_to(struct group_link *link, struct group_host *host);

/* To be called from the events of the transport. */
void group_link_disconnected(struct group_link *link, const struct transport_peer *peer);
void group_link_drained(struct group_link *link, const struct transport_peer *peer);

#endif
