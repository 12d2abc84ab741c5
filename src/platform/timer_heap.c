#include "platform/timer_heap.h"

#include <assert.h>
#include <stdlib.h>

/* Four children share two cache lines and halve the depth of a binary heap. */
enum { CHILDREN = 4, CAPACITY_FIRST = 32 };

/* --- Order ------------------------------------------------------------------------------- */

static bool before(const struct timer_heap_entry *left, const struct timer_heap_entry *right)
{
    if (left->due_ms != right->due_ms)
        return left->due_ms < right->due_ms;
    return left->sequence < right->sequence;
}

static void place(struct timer_heap *heap, size_t index, struct timer_heap_entry entry)
{
    heap->entries[index] = entry;
    entry.timer->heap_index = index;
}

static void sift_up(struct timer_heap *heap, size_t index, struct timer_heap_entry entry)
{
    while (index > 0) {
        size_t parent = (index - 1) / CHILDREN;
        if (!before(&entry, &heap->entries[parent]))
            break;
        place(heap, index, heap->entries[parent]);
        index = parent;
    }
    place(heap, index, entry);
}

static void sift_down(struct timer_heap *heap, size_t index, struct timer_heap_entry entry)
{
    for (;;) {
        size_t first = index * CHILDREN + 1;
        size_t end = first + CHILDREN < heap->count ? first + CHILDREN : heap->count;
        if (first >= heap->count)
            break;
        size_t least = first;
        for (size_t child = first + 1; child < end; child++)
            if (before(&heap->entries[child], &heap->entries[least]))
                least = child;
        if (!before(&heap->entries[least], &entry))
            break;
        place(heap, index, heap->entries[least]);
        index = least;
    }
    place(heap, index, entry);
}

/* Put `entry` at `index`, whose former entry is gone, or above or below it. */
static void settle(struct timer_heap *heap, size_t index, struct timer_heap_entry entry)
{
    if (index > 0 && before(&entry, &heap->entries[(index - 1) / CHILDREN]))
        sift_up(heap, index, entry);
    else
        sift_down(heap, index, entry);
}

/* --- Public ------------------------------------------------------------------------------ */

static bool reserve_one(struct timer_heap *heap)
{
    if (heap->count < heap->capacity)
        return true;
    size_t capacity = heap->capacity == 0 ? CAPACITY_FIRST : heap->capacity * 2;
    struct timer_heap_entry *entries = reallocarray(heap->entries, capacity, sizeof *heap->entries);
    if (entries == NULL)
        return false;
    heap->entries = entries;
    heap->capacity = capacity;
    return true;
}

void timer_heap_clear(struct timer_heap *heap)
{
    for (size_t i = 0; i < heap->count; i++)
        heap->entries[i].timer->heap_index = TIMER_IDLE;
    free(heap->entries);
    *heap = (struct timer_heap){0};
}

bool timer_heap_start(struct timer_heap *heap, struct timer *timer, uint64_t due_ms)
{
    assert(timer->fire != NULL);
    struct timer_heap_entry entry = {.due_ms = due_ms, .timer = timer};
    if (timer->heap_index != TIMER_IDLE) {
        assert(timer->heap_index < heap->count);
        assert(heap->entries[timer->heap_index].timer == timer);
        entry.sequence = heap->sequence_next++;
        timer->due_ms = due_ms;
        settle(heap, timer->heap_index, entry);
        return true;
    }
    if (!reserve_one(heap))
        return false;
    entry.sequence = heap->sequence_next++;
    timer->due_ms = due_ms;
    sift_up(heap, heap->count++, entry);
    return true;
}

void timer_heap_stop(struct timer_heap *heap, struct timer *timer)
{
    size_t index = timer->heap_index;
    if (index == TIMER_IDLE)
        return;
    assert(index < heap->count);
    assert(heap->entries[index].timer == timer);
    timer->heap_index = TIMER_IDLE;
    struct timer_heap_entry last = heap->entries[--heap->count];
    if (index < heap->count)
        settle(heap, index, last);
}

uint64_t timer_heap_next_due_ms(const struct timer_heap *heap)
{
    return heap->count == 0 ? UINT64_MAX : heap->entries[0].due_ms;
}

struct timer *timer_heap_take_due(struct timer_heap *heap, uint64_t now_ms, uint64_t sequence_end)
{
    if (heap->count == 0 || heap->entries[0].due_ms > now_ms ||
        heap->entries[0].sequence >= sequence_end)
        return NULL;
    struct timer *timer = heap->entries[0].timer;
    timer_heap_stop(heap, timer);
    return timer;
}
