#include "exemplar_ring.h"

#include <string.h>

/* Labels in words, so that a copy may race with the writer and be thrown away. */
struct exemplar_slot {
    _Atomic uint64_t number; /* 0: being written */
    _Atomic uint64_t before;
    _Atomic int64_t timestamp_ms;
    _Atomic uint64_t value_bits;
    _Atomic uint64_t label_bytes;
    _Atomic(_Atomic uint64_t *) words;
    uint64_t word_capacity; /* writer only */
};

void exemplar_ring_init(struct exemplar_ring *ring, uint32_t capacity)
{
    ring->capacity = capacity;
    ring->newest = 0;
    paged_table_init(&ring->slots, sizeof(struct exemplar_slot), 8);
}

uint64_t exemplar_ring_add(struct exemplar_ring *ring, struct pool *pool,
                           const struct exemplar *exemplar, uint64_t before)
{
    uint64_t number = ring->newest + 1;
    struct exemplar_slot *slot = paged_table_add(&ring->slots, pool, number % ring->capacity);
    if (slot == NULL)
        return 0;
    size_t word_count = (exemplar->labels.size + 7u) / 8;
    _Atomic uint64_t *words = atomic_load_explicit(&slot->words, memory_order_relaxed);
    if (word_count > slot->word_capacity) {
        /* The old words stay with the pool: slots settle at the size of the largest labels. */
        words = pool_allocate(pool, word_count * sizeof *words, sizeof *words);
        if (words == NULL)
            return 0;
        slot->word_capacity = word_count;
    }
    atomic_store_explicit(&slot->number, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->before, before, memory_order_release);
    atomic_store_explicit(&slot->timestamp_ms, exemplar->timestamp_ms, memory_order_release);
    uint64_t value_bits;
    memcpy(&value_bits, &exemplar->value, sizeof value_bits);
    atomic_store_explicit(&slot->value_bits, value_bits, memory_order_release);
    atomic_store_explicit(&slot->label_bytes, exemplar->labels.size, memory_order_release);
    atomic_store_explicit(&slot->words, words, memory_order_release);
    for (size_t i = 0; i < word_count; i++) {
        size_t left = exemplar->labels.size - i * 8;
        uint64_t word = 0;
        memcpy(&word, exemplar->labels.bytes + i * 8, left < 8 ? left : 8);
        atomic_store_explicit(&words[i], word, memory_order_release);
    }
    atomic_store_explicit(&slot->number, number, memory_order_release);
    ring->newest = number;
    return number;
}

enum exemplar_read exemplar_ring_read(const struct exemplar_ring *ring, uint64_t number,
                                      struct arena *arena, struct exemplar *exemplar_out,
                                      uint64_t *before_out)
{
    struct exemplar_slot *slot =
        number == 0 ? NULL : paged_table_find(&ring->slots, number % ring->capacity);
    if (slot == NULL || atomic_load_explicit(&slot->number, memory_order_acquire) != number)
        return EXEMPLAR_GONE;
    uint64_t before = atomic_load_explicit(&slot->before, memory_order_acquire);
    int64_t timestamp_ms = atomic_load_explicit(&slot->timestamp_ms, memory_order_acquire);
    uint64_t value_bits = atomic_load_explicit(&slot->value_bits, memory_order_acquire);
    uint64_t label_bytes = atomic_load_explicit(&slot->label_bytes, memory_order_acquire);
    _Atomic uint64_t *words = atomic_load_explicit(&slot->words, memory_order_acquire);
    /* Size and words belong together only if the number still stands. */
    if (atomic_load_explicit(&slot->number, memory_order_relaxed) != number)
        return EXEMPLAR_GONE;
    size_t word_count = (label_bytes + 7) / 8;
    uint64_t *copy = arena_array(arena, word_count, sizeof *copy);
    if (copy == NULL)
        return EXEMPLAR_OUT_OF_MEMORY;
    for (size_t i = 0; i < word_count; i++)
        copy[i] = atomic_load_explicit(&words[i], memory_order_acquire);
    if (atomic_load_explicit(&slot->number, memory_order_relaxed) != number)
        return EXEMPLAR_GONE;
    *exemplar_out =
        (struct exemplar){.labels = {.bytes = (const uint8_t *)copy, .size = (uint32_t)label_bytes},
                          .timestamp_ms = timestamp_ms};
    memcpy(&exemplar_out->value, &value_bits, sizeof value_bits);
    *before_out = before;
    return EXEMPLAR_READ;
}
