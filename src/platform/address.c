#include "address.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"

enum error_code address_split(const char *what, const char *address, char *host, size_t host_bytes,
                              const char **port_out, struct error *error)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (colon == NULL || !text_to_uint64(text_of(colon + 1), &port) || port > UINT16_MAX)
        return error_set(error, ERROR_INVALID, "%s '%s': must be host:port", what, address);
    size_t size = (size_t)(colon - address);
    const char *start = address;
    if (size >= 2 && start[0] == '[' && start[size - 1] == ']') {
        start++;
        size -= 2;
    } else if (memchr(start, ':', size) != NULL) {
        return error_set(error, ERROR_INVALID, "%s '%s': write IPv6 as [address]:port", what,
                         address);
    }
    if (size >= host_bytes)
        return error_set(error, ERROR_INVALID, "%s '%s': name too long", what, address);
    memcpy(host, start, size);
    host[size] = '\0';
    *port_out = colon + 1;
    return ERROR_NONE;
}
