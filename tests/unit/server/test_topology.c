/* How a data directory is divided, kept in a small file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "scratch_directory.h"
#include "topology.h"

static struct scratch_directory folder;

static int set_up(void **unused)
{
    (void)unused;
    scratch_directory_make(&folder);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    scratch_directory_remove(&folder);
    return 0;
}

static FILE *open_file(const char *mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/topology", folder.path);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

/* Four shards; the last of them has given away its upper half, and of that a part again. */
static struct topology uneven(void)
{
    struct topology topology;
    topology_init(&topology, 4, 7);
    topology.slots.shard_count = 6;
    for (uint32_t slot = SLOT_COUNT / 8 * 7; slot < SLOT_COUNT; slot++)
        topology.slots.shards[slot] = slot < SLOT_COUNT - 3 ? 4 : 5;
    return topology;
}

static struct topology reopened(const struct topology *wanted)
{
    struct topology found;
    struct error error;
    assert_int_equal(topology_open(folder.path, wanted, &found, &error), ERROR_NONE);
    return found;
}

static void the_first_one_stays(void **unused)
{
    (void)unused;
    struct topology first, second;
    topology_init(&first, 4, 2);
    topology_init(&second, 8, 3);
    for (int i = 0; i < 2; i++) {
        struct topology found = reopened(i == 0 ? &first : &second);
        assert_int_equal(found.is_new, i == 0);
        assert_int_equal(found.slots.shard_count, 4);
        assert_int_equal(found.spread, 2);
        assert_memory_equal(found.slots.shards, first.slots.shards, sizeof found.slots.shards);
    }
}

/* As it was before slots were kept: programs of then can read it. */
static void equal_ranges_are_not_listed(void **unused)
{
    (void)unused;
    struct topology topology;
    char content[256];
    topology_init(&topology, 4, 2);
    (void)reopened(&topology);
    FILE *file = open_file("rb");
    size_t size = fread(content, 1, sizeof content - 1, file);
    content[size] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_string_equal(content, "shards 4\nspread 2\nchecksum a2b4c726\n");
}

static void slots_of_shards_that_were_split_come_back(void **unused)
{
    (void)unused;
    const struct topology topology = uneven();
    for (int i = 0; i < 2; i++) {
        struct topology found = reopened(&topology);
        assert_int_equal(found.slots.shard_count, 6);
        assert_int_equal(found.spread, 7);
        assert_memory_equal(found.slots.shards, topology.slots.shards, sizeof found.slots.shards);
    }
}

static void every_byte_that_changes_is_seen(void **unused)
{
    (void)unused;
    const struct topology topology = uneven();
    struct topology found;
    struct error error;
    (void)reopened(&topology);
    FILE *file = open_file("r+b");
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    for (long at = 0; at < size; at++) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        int byte = fgetc(file);
        for (int bit = 0; bit < 8; bit++) {
            assert_int_equal(fseek(file, at, SEEK_SET), 0);
            fputc(byte ^ 1 << bit, file);
            assert_int_equal(fflush(file), 0);
            assert_int_equal(topology_open(folder.path, &topology, &found, &error), ERROR_CORRUPT);
        }
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        fputc(byte, file);
    }
    assert_int_equal(fclose(file), 0);
    (void)reopened(&topology);
}

/* Not even with a checksum of their own; the first lines are those of a file that is sound. */
static void slots_that_do_not_cover_all_are_refused(void **unused)
{
    (void)unused;
    static const char *const CONTENTS[] = {
        "",
        "shards 4\n",
        "shards 0\nspread 1\nchecksum 00000000\n",
        "shards 5000\nspread 1\nchecksum 00000000\n",
        "shards 2\nspread 1\nslots 4095 0\nchecksum 00000000\n",
        "shards 2\nspread 1\nslots 4095 0\nslots 2 1\nchecksum 00000000\n",
        "shards 2\nspread 1\nslots 4294967295 0\nslots 2 1\nchecksum 00000000\n",
        "shards 2\nspread 1\nslots 4095 0\nslots 1 2\nchecksum 00000000\n",
        "shards 2\nspread 1\nslots 0 0\nslots 4096 1\nchecksum 00000000\n",
    };
    const struct topology topology = uneven();
    struct topology found;
    struct error error;
    for (size_t i = 0; i < sizeof CONTENTS / sizeof CONTENTS[0]; i++) {
        FILE *file = open_file("wb");
        fputs(CONTENTS[i], file);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(topology_open(folder.path, &topology, &found, &error), ERROR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_one_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_ranges_are_not_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slots_of_shards_that_were_split_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_byte_that_changes_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slots_that_do_not_cover_all_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
