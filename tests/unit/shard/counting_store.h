/*
 * counting_store - objects in memory, read by any number of threads, with a count of how often
 * somebody waited for it. Only reads.
 */
#ifndef COUNTING_STORE_H
#define COUNTING_STORE_H

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "object/object_store.h"

enum { COUNTED_OBJECTS_MAX = 16 };

struct counted_object {
    char key[OBJECT_KEY_MAX + 1];
    uint8_t *bytes;
    size_t size_bytes;
};

struct counting_store {
    struct object_store base;
    pthread_mutex_t lock;
    struct counted_object objects[COUNTED_OBJECTS_MAX];
    size_t count;
    uint64_t round_trips; /* calls */
    uint64_t reads;       /* ranges */
    uint64_t read_bytes;
    uint64_t fail_after; /* so many ranges come, then no more: UNAVAILABLE */
};

static void counting_store_read_one(struct counting_store *store, struct object_read *read)
{
    error_clear(&read->error);
    if (store->fail_after == 0) {
        error_set(&read->error, ERROR_UNAVAILABLE, "counting store: fails");
        return;
    }
    store->fail_after -= store->fail_after != UINT64_MAX;
    store->reads++;
    for (size_t i = 0; i < store->count; i++) {
        const struct counted_object *object = &store->objects[i];
        if (!text_equal(text_of(object->key), read->key))
            continue;
        size_t left =
            read->offset_bytes < object->size_bytes ? object->size_bytes - read->offset_bytes : 0;
        assert(read->place == OBJECT_READ_AT);
        read->read_bytes = left < read->size_bytes ? left : read->size_bytes;
        read->object_bytes = object->size_bytes;
        if (read->read_bytes > 0)
            memcpy(read->target, object->bytes + read->offset_bytes, read->read_bytes);
        store->read_bytes += read->read_bytes;
        return;
    }
    error_set(&read->error, ERROR_NOT_FOUND, "counting store: no such object");
}

static void counting_store_read(struct object_store *self, const struct object_call *call,
                                struct object_read *reads, size_t count)
{
    struct counting_store *store = (struct counting_store *)self;
    (void)call;
    pthread_mutex_lock(&store->lock);
    store->round_trips++;
    for (size_t i = 0; i < count; i++)
        counting_store_read_one(store, &reads[i]);
    pthread_mutex_unlock(&store->lock);
}

static void counting_store_init(struct counting_store *store)
{
    static const struct object_store_operations OPERATIONS = {.read = counting_store_read};
    *store = (struct counting_store){.base = {&OPERATIONS}, .fail_after = UINT64_MAX};
    pthread_mutex_init(&store->lock, NULL);
}

/* The bytes are copied. */
static void counting_store_put(struct counting_store *store, const char *key, const uint8_t *bytes,
                               size_t size_bytes)
{
    assert(store->count < COUNTED_OBJECTS_MAX && strlen(key) <= OBJECT_KEY_MAX);
    struct counted_object *object = &store->objects[store->count++];
    strcpy(object->key, key);
    object->bytes = malloc(size_bytes + 1);
    assert(object->bytes != NULL);
    memcpy(object->bytes, bytes, size_bytes);
    object->size_bytes = size_bytes;
}

static void counting_store_clear(struct counting_store *store)
{
    for (size_t i = 0; i < store->count; i++)
        free(store->objects[i].bytes);
    pthread_mutex_destroy(&store->lock);
}

#endif
