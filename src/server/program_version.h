/*
 * program_version - which state-machine versions this program knows: all up to one.
 *
 * A file of its own, so that tests make a program of the next version by another object in its
 * place (tests/support/next_version).
 */
#ifndef SERVER_PROGRAM_VERSION_H
#define SERVER_PROGRAM_VERSION_H

#include <stdint.h>

extern const uint32_t PROGRAM_STATE_VERSION_MAX; /* base/state_version.h */

#endif
