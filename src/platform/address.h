/*
 * address - the text of an address cut into its parts.
 */
#ifndef PLATFORM_ADDRESS_H
#define PLATFORM_ADDRESS_H

#include <stddef.h>

#include "base/error.h"

enum { ADDRESS_HOST_MAX = 255 };

/* Cut "host:port" and "[host]:port"; *port_out points into `address`. `what` begins the errors.
 * Errors: INVALID. */
enum error_code address_split(const char *what, const char *address, char *host, size_t host_bytes,
                              const char **port_out, struct error *error);

#endif
