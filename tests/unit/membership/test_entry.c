/* The bytes of entries: docs/formats/cluster-entry.md. */
#include "clusters.h"

/* One entry of each kind. */
static size_t all_kinds(struct founding *founding, struct cluster_entry *entries)
{
    static const struct slot_range RANGES[] = {{0, 100}, {200, 312}};
    size_t count = 0;
    founding_init(founding);
    entries[count++] = founding->entry;
    entries[count++] = (struct cluster_entry){
        .kind = CLUSTER_ADD_NODE, .add_node = {identity_of("d", 4), traits_of("d:9010", "")}};
    entries[count++] = (struct cluster_entry){.kind = CLUSTER_UPDATE_NODE,
                                              .update_node = {2, traits_of("b.new:9010", "y2")}};
    entries[count++] = (struct cluster_entry){.kind = CLUSTER_SET_NODE_STATE,
                                              .set_node_state = {3, CLUSTER_NODE_DRAINING}};
    entries[count++] = (struct cluster_entry){.kind = CLUSTER_REMOVE_NODE, .remove_node = {300}};
    entries[count++] =
        (struct cluster_entry){.kind = CLUSTER_ASSIGN, .assign = {1, 5, {3, {1, 2, 4}}}};
    entries[count++] = (struct cluster_entry){.kind = CLUSTER_SPLIT,
                                              .split = {0, 1, 4, 5, RANGES, 2, {3, {1, 2, 3}}}};
    entries[count++] =
        (struct cluster_entry){.kind = CLUSTER_SET_REPLICATION, .set_replication = {5}};
    entries[count++] =
        (struct cluster_entry){.kind = CLUSTER_SET_TENANT,
                               .set_tenant = {TEXT("team"), TEXT("limits"), TEXT("series: 1000")}};
    entries[count++] = (struct cluster_entry){.kind = CLUSTER_RAISE_VERSION, .raise_version = {2}};
    return count;
}

static void encode_whole(const struct cluster_entry *entry, struct byte_buffer *buffer)
{
    struct error error;
    byte_buffer_reset(buffer);
    assert_int_equal(cluster_entry_encode(entry, buffer, &error), ERROR_NONE);
}

static void what_is_decoded_encodes_to_the_same_bytes(void **state)
{
    (void)state;
    struct founding founding;
    struct cluster_entry entries[10];
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    size_t count = all_kinds(&founding, entries);
    assert_int_equal(count, 10);
    for (size_t i = 0; i < count; i++) {
        struct arena *arena = arena_create(0);
        struct cluster_entry decoded;
        encode_whole(&entries[i], &once);
        assert_int_equal(cluster_entry_decode(once.bytes, once.size, arena, &decoded, &error),
                         ERROR_NONE);
        encode_whole(&decoded, &twice);
        assert_int_equal(once.size, twice.size);
        assert_memory_equal(once.bytes, twice.bytes, once.size);
        arena_destroy(arena);
    }
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
}

static void no_cut_and_no_stray_byte_is_read(void **state)
{
    (void)state;
    struct founding founding;
    struct cluster_entry entries[10], decoded;
    struct byte_buffer buffer = {0};
    struct error error;
    size_t count = all_kinds(&founding, entries);
    for (size_t i = 0; i < count; i++) {
        struct arena *arena = arena_create(0);
        encode_whole(&entries[i], &buffer);
        byte_buffer_u8(&buffer, 0);
        for (size_t size = 0; size <= buffer.size; size++)
            if (size != buffer.size - 1)
                assert_int_equal(cluster_entry_decode(buffer.bytes, size, arena, &decoded, &error),
                                 ERROR_CORRUPT);
        arena_destroy(arena);
    }
    byte_buffer_clear(&buffer);
}

/* A newer program's entry must stop this one, not be skipped. */
static void an_unknown_kind_or_version_is_unsupported(void **state)
{
    (void)state;
    static const uint8_t KIND[] = {11, 1, 0}, NO_KIND[] = {0, 1}, VERSION[] = {10, 2, 2};
    struct arena *arena = arena_create(0);
    struct cluster_entry decoded;
    struct error error;
    assert_int_equal(cluster_entry_decode(KIND, sizeof KIND, arena, &decoded, &error),
                     ERROR_UNSUPPORTED);
    assert_int_equal(cluster_entry_decode(NO_KIND, sizeof NO_KIND, arena, &decoded, &error),
                     ERROR_UNSUPPORTED);
    assert_int_equal(cluster_entry_decode(VERSION, sizeof VERSION, arena, &decoded, &error),
                     ERROR_UNSUPPORTED);
    arena_destroy(arena);
}

static void assert_refused(const struct cluster_entry *entry)
{
    struct byte_buffer buffer = {0};
    struct error error;
    assert_int_equal(cluster_entry_encode(entry, &buffer, &error), ERROR_INVALID);
    assert_int_equal(buffer.size, 0);
    byte_buffer_clear(&buffer);
}

static void a_founding_that_no_one_could_read_is_not_encoded(void **state)
{
    (void)state;
    struct founding founding;
    founding_init(&founding);
    founding.slots[17] = SHARDS; /* a slot without a shard */
    assert_refused(&founding.entry);
    founding_init(&founding);
    for (size_t i = 0; i < SLOT_COUNT; i++)
        founding.slots[i] = 0; /* shards without a slot */
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.founders[1].identity = founding.founders[0].identity;
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.shards[1].replicas = (struct cluster_replicas){2, {1, 4}}; /* no such founder */
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.shards[1].group_id = founding.shards[0].group_id;
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.founders[2].traits.version_min = founding.founders[2].traits.version_max = 2;
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.entry.found.replication = CLUSTER_REPLICAS_MAX + 1;
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.entry.found.spread = 0;
    assert_refused(&founding.entry);
    founding_init(&founding);
    founding.entry.found.spread = SLOT_COUNT + 1;
    assert_refused(&founding.entry);
}

static void what_a_node_says_of_itself_is_checked(void **state)
{
    (void)state;
    struct cluster_entry good = {.kind = CLUSTER_ADD_NODE,
                                 .add_node = {identity_of("d", 4), traits_of("d:9010", "")}};
    struct cluster_entry entry = good;
    entry.add_node.identity.name[0] = '\0';
    assert_refused(&entry);
    entry = good;
    entry.add_node.identity.name[0] = '\n';
    assert_refused(&entry);
    entry = good;
    entry.add_node.traits.address[0] = '\0';
    assert_refused(&entry);
    entry = good;
    entry.add_node.traits.zone[0] = (char)0xff;
    assert_refused(&entry);
    entry = good;
    entry.add_node.traits.roles = 16;
    assert_refused(&entry);
    entry = good;
    entry.add_node.traits.version_min = 2;
    assert_refused(&entry);
}

static void replicas_and_ranges_have_one_form(void **state)
{
    (void)state;
    static const struct slot_range TOUCHING[] = {{0, 100}, {100, 12}}, BEYOND[] = {{4090, 7}},
                                   EMPTY[] = {{5, 0}};
    struct cluster_entry assign = {.kind = CLUSTER_ASSIGN, .assign = {1, 5, {2, {4, 2}}}};
    assert_refused(&assign);
    assign.assign.replicas = (struct cluster_replicas){2, {4, 4}};
    assert_refused(&assign);
    assign.assign.replicas = (struct cluster_replicas){0, {0}};
    assert_refused(&assign);
    struct cluster_entry split = {.kind = CLUSTER_SPLIT,
                                  .split = {0, 1, 4, 5, TOUCHING, 2, {1, {1}}}};
    assert_refused(&split);
    split.split.ranges = BEYOND;
    split.split.range_count = 1;
    assert_refused(&split);
    split.split.ranges = EMPTY;
    assert_refused(&split);
}

/* A release reads what the releases before it have written. */
static void the_stored_sample_is_still_understood(void **state)
{
    (void)state;
    struct founding founding;
    struct cluster_entry entries[10];
    struct byte_buffer buffer = {0};
    uint8_t stored[1024];
    struct error error;
    size_t count = all_kinds(&founding, entries);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(cluster_entry_encode(&entries[i], &buffer, &error), ERROR_NONE);
    FILE *file = fopen("samples/entries.bin", "rb");
    assert_non_null(file);
    size_t size = fread(stored, 1, sizeof stored, file);
    fclose(file);
    assert_int_equal(size, buffer.size);
    assert_memory_equal(stored, buffer.bytes, size);
    byte_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_decoded_encodes_to_the_same_bytes),
        cmocka_unit_test(no_cut_and_no_stray_byte_is_read),
        cmocka_unit_test(an_unknown_kind_or_version_is_unsupported),
        cmocka_unit_test(a_founding_that_no_one_could_read_is_not_encoded),
        cmocka_unit_test(what_a_node_says_of_itself_is_checked),
        cmocka_unit_test(replicas_and_ranges_have_one_form),
        cmocka_unit_test(the_stored_sample_is_still_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
