/* What is told of the replicas of a shard: each by itself, and against the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "rescue_private.h"

enum { PART = 1, SEGMENT = 2, BLOCK = 3 };

static const struct rescue_file FILES[] = {
    {.kind = SEGMENT, .index = 3, .content_checksum = {1, 1}},
    {.kind = PART, .index = 5, .content_checksum = {2, 2}},
    {.kind = BLOCK, .index = 9, .content_checksum = {3, 3}},
};

static struct rescue_finding finding_of(uint64_t node_id, const struct rescue_file *files,
                                        size_t count)
{
    struct rescue_finding finding = {
        .node_id = node_id,
        .verdict = {.applied_index = 10 + node_id,
                    .frozen_index = 8,
                    .frozen_checksum = 4,
                    .files = files,
                    .file_count = count},
    };
    error_clear(&finding.error);
    return finding;
}

/* The JSON of two replicas; whether they are sound. */
static enum rescue_soundness encode(const struct rescue_finding findings[2],
                                    struct byte_buffer *json)
{
    struct cluster_state *state;
    struct error error;
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    enum rescue_soundness soundness = rescue_found_encode(state, 6, findings, 2, json);
    cluster_state_destroy(state);
    byte_buffer_u8(json, '\0');
    assert_false(json->failed);
    return soundness;
}

static void expect(const struct rescue_finding findings[2], enum rescue_soundness soundness,
                   const char *part)
{
    struct byte_buffer json = {0};
    assert_int_equal(encode(findings, &json), soundness);
    assert_non_null(strstr((const char *)json.bytes, part));
    byte_buffer_clear(&json);
}

static void equal_replicas_are_sound(void **state)
{
    (void)state;
    const struct rescue_finding findings[] = {finding_of(1, FILES, 3), finding_of(2, FILES, 3)};
    expect(findings, RESCUE_SOUND,
           "{\"node\":\"node 1\",\"files\":3,\"bytes\":0,\"appliedIndex\":11,\"entriesBehind\":1,"
           "\"frozenIndex\":8,\"damaged\":[]}");
    expect(findings, RESCUE_SOUND, "\"differences\":[],\"sound\":true}");
}

static void a_damaged_file_is_named(void **state)
{
    (void)state;
    struct rescue_file files[3];
    memcpy(files, FILES, sizeof files);
    files[2].is_damaged = true;
    const struct rescue_finding findings[] = {finding_of(1, FILES, 3), finding_of(2, files, 3)};
    expect(findings, RESCUE_UNSOUND, "\"damaged\":[\"block 9-0\"]");
    expect(findings, RESCUE_UNSOUND, "\"differences\":[],");
}

static void another_content_of_the_same_file_is_a_difference(void **state)
{
    (void)state;
    struct rescue_file files[3];
    memcpy(files, FILES, sizeof files);
    files[1].content_checksum.low = 7;
    const struct rescue_finding findings[] = {finding_of(1, FILES, 3), finding_of(2, files, 3)};
    expect(findings, RESCUE_UNSOUND,
           "\"differences\":[{\"what\":\"part 5-0\",\"nodes\":[\"node 1\",\"node 2\"]}]");
}

/* The log does not have their checksums: they are told by who could read them. */
static void segments_are_compared_where_both_were_read(void **state)
{
    (void)state;
    struct rescue_file files[3];
    memcpy(files, FILES, sizeof files);
    files[0].content_checksum.high = 7;
    const struct rescue_finding findings[] = {finding_of(1, FILES, 3), finding_of(2, files, 3)};
    expect(findings, RESCUE_UNSOUND, "{\"what\":\"series segment 3-0\"");
    files[0].content_checksum = (struct hash128){0, 0}; /* an older node */
    expect(findings, RESCUE_SOUND, "\"differences\":[],");
}

/* One has merged already, the other has not: that is no difference. */
static void files_that_only_one_has_are_compared_by_their_freeze_only(void **state)
{
    (void)state;
    struct rescue_finding findings[] = {finding_of(1, FILES, 3), finding_of(2, FILES, 1)};
    expect(findings, RESCUE_SOUND, "\"differences\":[],");
    findings[1].verdict.frozen_checksum = 5;
    expect(findings, RESCUE_UNSOUND, "state at the last freeze");
    findings[1].verdict.frozen_index = 9;
    expect(findings, RESCUE_SOUND, "\"differences\":[],");
}

static void a_node_that_does_not_answer_is_not_sound(void **state)
{
    (void)state;
    struct rescue_finding findings[] = {finding_of(1, FILES, 3), finding_of(2, FILES, 3)};
    error_set(&findings[1].error, ERROR_UNAVAILABLE, "the node is not reached");
    expect(findings, RESCUE_UNSOUND, "{\"node\":\"node 2\",\"error\":\"the node is not reached\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_replicas_are_sound),
        cmocka_unit_test(a_damaged_file_is_named),
        cmocka_unit_test(another_content_of_the_same_file_is_a_difference),
        cmocka_unit_test(segments_are_compared_where_both_were_read),
        cmocka_unit_test(files_that_only_one_has_are_compared_by_their_freeze_only),
        cmocka_unit_test(a_node_that_does_not_answer_is_not_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
