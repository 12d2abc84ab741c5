/* The n-th allocation fails: an entry is applied as a whole or not at all. */
#include "allocation_faults.h"
#include "clusters.h"

static const struct slot_range UPPER_HALF[] = {{512, 512}};

static void snapshot_of(const struct cluster_state *state, struct byte_buffer *buffer)
{
    byte_buffer_reset(buffer);
    cluster_state_encode(state, buffer);
    assert_false(buffer->failed);
}

/* Apply with ever later faults until none comes; the state changes then only. */
static void apply_with_faults(struct cluster_state *state, uint64_t index,
                              const struct cluster_entry *entry)
{
    struct byte_buffer bytes = {0}, before = {0}, after = {0};
    struct cluster_outcome outcome;
    struct error error;
    enum error_code code = ERROR_OUT_OF_MEMORY;
    assert_int_equal(cluster_entry_encode(entry, &bytes, &error), ERROR_NONE);
    snapshot_of(state, &before);
    for (size_t number = 1; code != ERROR_NONE; number++) {
        allocation_faults_arm(number);
        code = cluster_state_apply(state, index, bytes.bytes, bytes.size, &outcome, &error);
        bool injected = allocation_faults_disarm();
        assert_int_equal(code, injected ? ERROR_OUT_OF_MEMORY : ERROR_NONE);
        snapshot_of(state, &after);
        bool same =
            before.size == after.size && memcmp(before.bytes, after.bytes, before.size) == 0;
        assert_int_equal(same, injected);
    }
    byte_buffer_clear(&bytes);
    byte_buffer_clear(&before);
    byte_buffer_clear(&after);
}

static void decode_with_faults(const struct cluster_state *state)
{
    struct byte_buffer bytes = {0};
    struct cluster_state *decoded = NULL;
    struct error error;
    enum error_code code = ERROR_OUT_OF_MEMORY;
    snapshot_of(state, &bytes);
    for (size_t number = 1; code != ERROR_NONE; number++) {
        allocation_faults_arm(number);
        code = cluster_state_decode(bytes.bytes, bytes.size, 2, &decoded, &error);
        bool injected = allocation_faults_disarm();
        assert_int_equal(code, injected ? ERROR_OUT_OF_MEMORY : ERROR_NONE);
    }
    cluster_state_destroy(decoded);
    byte_buffer_clear(&bytes);
}

static void every_entry_survives_the_failure_of_every_allocation(void **unused)
{
    (void)unused;
    struct cluster_state *state;
    struct founding founding;
    struct error error;
    founding_init(&founding);
    assert_int_equal(cluster_state_create(2, &state, &error), ERROR_NONE);
    const struct cluster_entry entries[] = {
        founding.entry,
        {.kind = CLUSTER_ADD_NODE, .add_node = {identity_of("d", 4), traits_of("d:9010", "x")}},
        {.kind = CLUSTER_SPLIT, .split = {0, 1, 4, 5, UPPER_HALF, 1, {3, {1, 2, 3}}}},
        {.kind = CLUSTER_ASSIGN, .assign = {1, 1, {2, {1, 3}}}},
        {.kind = CLUSTER_SET_TENANT, .set_tenant = {TEXT("b"), TEXT("limits"), TEXT("10")}},
        {.kind = CLUSTER_SET_TENANT, .set_tenant = {TEXT("b"), TEXT("limits"), TEXT("11")}},
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        apply_with_faults(state, i + 1, &entries[i]);
    decode_with_faults(state);
    cluster_state_destroy(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_survives_the_failure_of_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
