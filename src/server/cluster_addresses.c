#include "cluster_addresses.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Addresses ------------------------------------------------------------------------------- */

/* "host:port", "[::1]:port". */
static enum error_code check_address(const char *setting, const char *address, struct error *error)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    if (colon != NULL && colon != address && end != colon + 1 && *end == '\0' && port <= 65535 &&
        strlen(address) <= CLUSTER_ADDRESS_BYTES_MAX)
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID, "%s: '%s' is no address; it looks like host:port",
                     setting, address);
}

static bool is_wildcard(const char *address)
{
    return strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
}

/* An address of numbers is bound as it is; a name may stand for many, or for none yet: then its
 * port is bound on all. */
static void listen_of(const char *own, char *target, size_t size)
{
    const char *colon = strrchr(own, ':');
    char host[CLUSTER_ADDRESS_BYTES_MAX + 1];
    struct in_addr number;
    snprintf(host, sizeof host, "%.*s", (int)(colon - own), own);
    if (inet_pton(AF_INET, host, &number) == 1 || host[0] == '[')
        snprintf(target, size, "%s", own);
    else
        snprintf(target, size, "0.0.0.0%s", colon);
}

/* --- Peers ----------------------------------------------------------------------------------- */

static enum error_code add_peer(struct cluster_addresses *addresses, char *entry,
                                struct error *error)
{
    char *equals = strchr(entry, '=');
    if (equals == NULL || equals == entry)
        return error_set(error, ERROR_INVALID,
                         "cluster.peers: '%s' is not of the form name=host:port", entry);
    *equals = '\0';
    struct meta_peer peer = {.name = entry, .address = equals + 1};
    if (strlen(peer.name) > CLUSTER_NAME_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "cluster.peers: the name '%s' is too long",
                         peer.name);
    for (size_t i = 0; i < addresses->peer_count; i++)
        if (strcmp(addresses->peers[i].name, peer.name) == 0)
            return error_set(error, ERROR_INVALID, "cluster.peers: '%s' is there twice", peer.name);
    if (addresses->peer_count == META_PEERS_MAX)
        return error_set(error, ERROR_INVALID, "cluster.peers: more than %d", META_PEERS_MAX);
    addresses->peers[addresses->peer_count++] = peer;
    return check_address("cluster.peers", peer.address, error);
}

static enum error_code read_peers(const char *text, struct cluster_addresses *addresses,
                                  struct error *error)
{
    size_t room = 1;
    for (const char *at = text; *at != '\0'; at++)
        room += *at == ',';
    addresses->text = strdup(text);
    addresses->peers = calloc(room, sizeof *addresses->peers);
    if (addresses->text == NULL || addresses->peers == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "cluster.peers");
    enum error_code code = ERROR_NONE;
    char *rest = addresses->text;
    for (char *entry; code == ERROR_NONE && (entry = strsep(&rest, ",")) != NULL;) {
        entry += strspn(entry, " \t");
        entry[strcspn(entry, " \t")] = '\0';
        if (*entry != '\0')
            code = add_peer(addresses, entry, error);
    }
    return code;
}

static const char *own_address(const struct settings *settings,
                               const struct cluster_addresses *addresses)
{
    for (size_t i = 0; i < addresses->peer_count; i++)
        if (strcmp(addresses->peers[i].name, settings->cluster_node) == 0)
            return addresses->peers[i].address;
    return NULL;
}

/* --- Public ---------------------------------------------------------------------------------- */

static enum error_code choose(const struct settings *settings, struct cluster_addresses *addresses,
                              struct error *error)
{
    const char *own = own_address(settings, addresses);
    if (settings->cluster_listen[0] != '\0')
        snprintf(addresses->listen, sizeof addresses->listen, "%s", settings->cluster_listen);
    else if (own != NULL)
        listen_of(own, addresses->listen, sizeof addresses->listen);
    else
        return error_set(error, ERROR_INVALID,
                         "cluster.listen is needed: cluster.peers has no entry for '%s' "
                         "(cluster.node)",
                         settings->cluster_node);
    const char *advertise = settings->cluster_advertise[0] != '\0' ? settings->cluster_advertise
                            : own != NULL                          ? own
                                                                   : addresses->listen;
    snprintf(addresses->advertise, sizeof addresses->advertise, "%s", advertise);
    enum error_code code = check_address("cluster.listen", addresses->listen, error);
    if (code == ERROR_NONE)
        code = check_address("cluster.advertise", addresses->advertise, error);
    if (code == ERROR_NONE && is_wildcard(addresses->advertise))
        code = error_set(error, ERROR_INVALID,
                         "cluster.advertise is needed: others can't find this node at '%s'",
                         addresses->advertise);
    return code;
}

enum error_code cluster_addresses_read(const struct settings *settings,
                                       struct cluster_addresses *addresses_out, struct error *error)
{
    struct cluster_addresses addresses = {0};
    enum error_code code = read_peers(settings->cluster_peers, &addresses, error);
    if (code == ERROR_NONE)
        code = choose(settings, &addresses, error);
    if (code != ERROR_NONE) {
        cluster_addresses_clear(&addresses);
        return code;
    }
    *addresses_out = addresses;
    return ERROR_NONE;
}

void cluster_addresses_clear(struct cluster_addresses *addresses)
{
    free(addresses->peers);
    free(addresses->text);
    *addresses = (struct cluster_addresses){0};
}
