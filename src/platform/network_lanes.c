#include "network_lanes.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"

/* --- Preamble ------------------------------------------------------------------------------ */

static const uint8_t MAGIC[8] = "GNOMONL1";

void preamble_encode(uint8_t target[PREAMBLE_BYTES], uint32_t lane)
{
    assert(lane < NETWORK_LANES_MAX);
    memcpy(target, MAGIC, sizeof MAGIC);
    store_u32(target + 8, lane);
    store_u32(target + 12, crc32c(0, target, 12));
}

enum error_code preamble_decode(const uint8_t bytes[PREAMBLE_BYTES], uint32_t *lane_out,
                                struct error *error)
{
    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_INVALID, "not the preamble of a node");
    uint32_t lane = load_u32(bytes + 8);
    if (load_u32(bytes + 12) != crc32c(0, bytes, 12))
        return error_set(error, ERROR_CORRUPT, "preamble: wrong checksum");
    if (lane >= NETWORK_LANES_MAX)
        return error_set(error, ERROR_INVALID, "preamble: lane %u", lane);
    *lane_out = lane;
    return ERROR_NONE;
}

/* --- Handing over -------------------------------------------------------------------------- */

enum { WAITING_MAX = 64 };

/* The task is part of the lane and not of a hand-over: a loop that ends may forget it. */
struct lane {
    struct task arrive;
    struct network_lanes *lanes;
    struct lane_owner owner; /* no scheduler: nobody */
    bool is_posted;
    size_t waiting_count;
    int waiting[WAITING_MAX];
};

struct network_lanes {
    pthread_mutex_t mutex; /* of all that follows; a hand-over is a rare thing */
    uint32_t lane_count;
    struct lane *lanes; /* [lane_count] */
};

static void lane_arrive(struct task *task)
{
    struct lane *lane = (struct lane *)((char *)task - offsetof(struct lane, arrive));
    struct network_lanes *lanes = lane->lanes;
    int arrived[WAITING_MAX];
    pthread_mutex_lock(&lanes->mutex);
    lane->is_posted = false;
    size_t count = lane->waiting_count;
    memcpy(arrived, lane->waiting, count * sizeof arrived[0]);
    lane->waiting_count = 0;
    struct lane_owner owner = lane->owner; /* changes on this thread only */
    pthread_mutex_unlock(&lanes->mutex);
    for (size_t i = 0; i < count; i++)
        owner.taken(owner.context, arrived[i]);
}

struct network_lanes *network_lanes_create(uint32_t lane_count)
{
    assert(lane_count > 0 && lane_count <= NETWORK_LANES_MAX);
    struct network_lanes *lanes = calloc(1, sizeof *lanes);
    struct lane *all = calloc(lane_count, sizeof *all);
    if (lanes == NULL || all == NULL) {
        free(lanes);
        free(all);
        return NULL;
    }
    pthread_mutex_init(&lanes->mutex, NULL);
    lanes->lane_count = lane_count;
    lanes->lanes = all;
    for (uint32_t i = 0; i < lane_count; i++) {
        all[i].arrive.run = lane_arrive;
        all[i].lanes = lanes;
    }
    return lanes;
}

void network_lanes_destroy(struct network_lanes *lanes)
{
    if (lanes == NULL)
        return;
    for (uint32_t i = 0; i < lanes->lane_count; i++)
        assert(lanes->lanes[i].owner.scheduler == NULL);
    pthread_mutex_destroy(&lanes->mutex);
    free(lanes->lanes);
    free(lanes);
}

void network_lanes_register(struct network_lanes *lanes, uint32_t lane,
                            const struct lane_owner *owner)
{
    assert(lane < lanes->lane_count);
    pthread_mutex_lock(&lanes->mutex);
    assert(lanes->lanes[lane].owner.scheduler == NULL);
    lanes->lanes[lane].owner = *owner;
    pthread_mutex_unlock(&lanes->mutex);
}

void network_lanes_unregister(struct network_lanes *lanes, uint32_t lane)
{
    assert(lane < lanes->lane_count);
    struct lane *left = &lanes->lanes[lane];
    pthread_mutex_lock(&lanes->mutex);
    left->owner = (struct lane_owner){0};
    for (size_t i = 0; i < left->waiting_count; i++)
        close(left->waiting[i]);
    left->waiting_count = 0;
    pthread_mutex_unlock(&lanes->mutex);
}

void network_lanes_hand_over(struct network_lanes *lanes, uint32_t lane, int descriptor)
{
    struct lane *owner = &lanes->lanes[lane % lanes->lane_count];
    pthread_mutex_lock(&lanes->mutex);
    bool is_taken = owner->owner.scheduler != NULL && owner->waiting_count < WAITING_MAX;
    if (is_taken) {
        owner->waiting[owner->waiting_count++] = descriptor;
        if (!owner->is_posted) {
            owner->is_posted = true;
            scheduler_post(owner->owner.scheduler, &owner->arrive);
        }
    }
    pthread_mutex_unlock(&lanes->mutex);
    if (!is_taken)
        close(descriptor);
}
