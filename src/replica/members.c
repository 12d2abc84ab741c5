/* The members of the group, for who decides about them. */
#include "replica_private.h"

size_t replica_members(const struct replica *replica, struct consensus_member *members_out)
{
    return group_members(replica->group, members_out);
}

size_t replica_peers(const struct replica *replica, struct group_peer *peers_out)
{
    return group_peers(replica->group, peers_out);
}

enum error_code replica_change_members(struct replica *replica, struct group_request *request,
                                       const struct group_change *change, struct error *error)
{
    return group_change_members(replica->group, request, change, error);
}

enum error_code replica_transfer(struct replica *replica, struct group_request *request,
                                 uint64_t node_id, struct error *error)
{
    return group_transfer(replica->group, request, node_id, error);
}
