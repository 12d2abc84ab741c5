/*
 * target - another cluster as HTTP sees it: where it is, who we are there, and whether anything
 * came from it lately.
 */
#ifndef FEDERATION_TARGET_H
#define FEDERATION_TARGET_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The texts are its owner's, NULL: none. */
struct target {
    char *url; /* without the path */
    char *ca_path, *certificate_path, *key_path;
    char *user, *password, *token;

    /* Monotonic; any thread reads them. */
    _Atomic uint64_t heard_ms;
    _Atomic uint64_t silent_since_ms; /* 0: it is not silent, as far as known */
};

/* Makes `curl` a request to a path there. False when memory is out, or the path too long. */
bool target_prepare(const struct target *target, CURL *curl, const char *path, uint64_t timeout_ms);

/* Something came from it. */
static inline void target_heard(struct target *target, uint64_t now_ms)
{
    atomic_store_explicit(&target->heard_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&target->silent_since_ms, 0, memory_order_relaxed);
}

/* For how long nothing has, when it was asked and did not answer; 0: it is not silent. */
static inline uint64_t target_silent_ms(const struct target *target, uint64_t now_ms)
{
    uint64_t since_ms = atomic_load_explicit(&target->silent_since_ms, memory_order_relaxed);
    return since_ms == 0 ? 0 : now_ms - since_ms + 1;
}

#endif
