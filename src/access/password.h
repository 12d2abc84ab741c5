/*
 * password - bcrypt, by crypt(3) of the system.
 */
#ifndef ACCESS_PASSWORD_H
#define ACCESS_PASSWORD_H

#include <stdbool.h>

#include "base/text.h"

enum {
    PASSWORD_HASH_SIZE = 60, /* "$2y$10$", 22 characters of salt, 31 of hash */
    /* Each step doubles the time: 50 ms at 10, 2 s at 15. A check is not interrupted, and the
     * process must end within seconds. */
    PASSWORD_COST_MIN = 4,
    PASSWORD_COST_MAX = 15,
};

/* Whether `hash` is one of bcrypt that can be checked: $2a$, $2b$ or $2y$, and its cost. */
bool password_hash_is_valid(struct text hash);

/* Takes tens of milliseconds: for workers. Both end with a NUL. False too when memory is out. */
bool password_matches(const char *password, const char *hash);

#endif
