/* The n-th allocation fails: no plan, and the state is untouched in any case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "allocation_faults.h"
#include "model.c" /* only one file of a unit test is compiled */

static enum error_code plan_once(struct model *model)
{
    struct arena *arena = arena_create(0);
    struct placement_plan plan;
    struct error error;
    enum error_code code = ERROR_OUT_OF_MEMORY;
    if (arena != NULL)
        code = placement_plan(model->state, &model->sight.observation, &model->limits, arena, &plan,
                              &error);
    arena_destroy(arena);
    return code;
}

static void a_plan_survives_the_failure_of_every_allocation(void **state)
{
    (void)state;
    struct model_options options = {12, 3, MODEL_SHARDS_MAX, 3};
    struct model *model = model_create(1, &options);
    enum error_code code = ERROR_OUT_OF_MEMORY;
    model_join(model, "zone-0");
    model_tick(model);
    for (size_t number = 1; code != ERROR_NONE; number++) {
        allocation_faults_arm(number);
        code = plan_once(model);
        assert_int_equal(code, allocation_faults_disarm() ? ERROR_OUT_OF_MEMORY : ERROR_NONE);
    }
    model_destroy(model);
}

static void so_does_formation(void **state)
{
    (void)state;
    static const struct formation_options OPTIONS = {.name = "x",
                                                     .shard_count = 4096,
                                                     .replication = 3,
                                                     .spread = 4,
                                                     .version = 1,
                                                     .first_group = 1};
    struct cluster_founder peer = {.identity.name = "a",
                                   .traits = {.address = "a:1", .roles = CLUSTER_ROLES_ALL}};
    enum error_code code = ERROR_OUT_OF_MEMORY;
    peer.traits.version_min = peer.traits.version_max = 1;
    for (size_t number = 1; code != ERROR_NONE; number++) {
        struct cluster_entry entry;
        struct error error;
        code = ERROR_OUT_OF_MEMORY;
        allocation_faults_arm(number);
        struct arena *arena = arena_create(0);
        if (arena != NULL)
            code = formation_found(&peer, 1, &OPTIONS, arena, &entry, &error);
        arena_destroy(arena);
        assert_int_equal(code, allocation_faults_disarm() ? ERROR_OUT_OF_MEMORY : ERROR_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_survives_the_failure_of_every_allocation),
        cmocka_unit_test(so_does_formation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
