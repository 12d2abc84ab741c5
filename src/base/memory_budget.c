#include "base/memory_budget.h"

#include <assert.h>

static void peak_raise(_Atomic uint64_t *peak, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(peak, memory_order_relaxed);
    while (seen < value && !atomic_compare_exchange_weak_explicit(
                               peak, &seen, value, memory_order_relaxed, memory_order_relaxed))
        continue;
}

static bool charge(struct arena_account *self, size_t size_bytes)
{
    struct memory_budget *budget = (struct memory_budget *)self;
    uint64_t used = atomic_fetch_add(&budget->used_bytes, size_bytes) + size_bytes;
    bool over_limit = budget->limit_bytes > 0 && used > budget->limit_bytes;
    if (over_limit ||
        (budget->parent != NULL && !budget->parent->charge(budget->parent, size_bytes))) {
        atomic_fetch_sub(&budget->used_bytes, size_bytes);
        atomic_store(over_limit ? &budget->over_limit : &budget->beside_others, true);
        return false;
    }
    peak_raise(&budget->used_bytes_max, used);
    return true;
}

static void release(struct arena_account *self, size_t size_bytes)
{
    struct memory_budget *budget = (struct memory_budget *)self;
    uint64_t before = atomic_fetch_sub(&budget->used_bytes, size_bytes);
    assert(before >= size_bytes);
    if (budget->parent != NULL)
        budget->parent->release(budget->parent, size_bytes);
}

void memory_budget_init(struct memory_budget *budget, uint64_t limit_bytes,
                        struct arena_account *parent)
{
    *budget = (struct memory_budget){
        .account = {.charge = charge, .release = release},
        .parent = parent,
        .limit_bytes = limit_bytes,
    };
}

bool memory_budget_is_exceeded(const struct memory_budget *budget)
{
    return atomic_load_explicit(&budget->over_limit, memory_order_relaxed) ||
           atomic_load_explicit(&budget->beside_others, memory_order_relaxed);
}

enum error_code memory_budget_error(const struct memory_budget *budget, struct error *error)
{
    unsigned long long used_bytes = atomic_load(&budget->used_bytes);
    if (atomic_load(&budget->over_limit))
        return error_set(error, ERROR_LIMIT,
                         "query processing would use too much memory in query execution "
                         "(%llu bytes are in use)",
                         used_bytes);
    if (atomic_load(&budget->beside_others))
        return error_set(error, ERROR_UNAVAILABLE,
                         "other queries hold the memory that this one needs beside its %llu bytes",
                         used_bytes);
    return error_set(error, ERROR_OUT_OF_MEMORY, "query execution");
}
