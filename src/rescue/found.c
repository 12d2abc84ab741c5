/* What verifying found of a shard: each replica by itself, and against the others. */
#include <stdio.h>
#include <string.h>

#include "block/file_summary.h"
#include "wire/json_writer.h"

#include "rescue_private.h"

/* --- JSON ------------------------------------------------------------------------------------ */

void rescue_json_name(struct byte_buffer *json, const char *name)
{
    uint8_t last = json->size == 0 ? '{' : json->bytes[json->size - 1];
    if (last != '{' && last != '[')
        json_raw(json, TEXT(","));
    json_string(json, text_of(name));
    json_raw(json, TEXT(":"));
}

void rescue_json_number(struct byte_buffer *json, const char *name, uint64_t value)
{
    if (name != NULL)
        rescue_json_name(json, name);
    json_integer(json, (int64_t)value);
}

void rescue_json_text(struct byte_buffer *json, const char *name, const char *value)
{
    rescue_json_name(json, name);
    json_string(json, text_of(value));
}

void rescue_json_node(struct byte_buffer *json, const struct cluster_state *state, uint64_t node_id)
{
    const struct cluster_node *node = cluster_state_find_node(state, node_id);
    char number[32];
    snprintf(number, sizeof number, "node %llu", (unsigned long long)node_id);
    json_string(json, text_of(node == NULL ? number : node->identity.name));
}

static void next_element(struct byte_buffer *json)
{
    if (json->size > 0 && json->bytes[json->size - 1] != '[')
        json_raw(json, TEXT(","));
}

/* --- Files ----------------------------------------------------------------------------------- */

static const char *name_file(const struct rescue_file *file, char *target, size_t size)
{
    static const char *const KINDS[] = {
        [FILE_KIND_PART] = "part",
        [FILE_KIND_SEGMENT] = "series segment",
        [FILE_KIND_BLOCK] = "block",
    };
    snprintf(target, size, "%s %llu-%u", KINDS[file->kind], (unsigned long long)file->index,
             file->number);
    return target;
}

static size_t encode_damaged(const struct rescue_verdict *verdict, struct byte_buffer *json)
{
    char name[64];
    size_t count = 0;
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < verdict->file_count; i++) {
        if (!verdict->files[i].is_damaged)
            continue;
        count++;
        next_element(json);
        json_string(json, text_of(name_file(&verdict->files[i], name, sizeof name)));
    }
    json_raw(json, TEXT("]"));
    return count;
}

/* Replicas list the same files in the same order: the next one is where the last one was found. */
static const struct rescue_file *find_file(const struct rescue_verdict *verdict,
                                           const struct rescue_file *like, size_t *next_io)
{
    for (size_t i = 0; i < verdict->file_count; i++) {
        size_t position = (*next_io + i) % verdict->file_count;
        const struct rescue_file *file = &verdict->files[position];
        if (file->kind != like->kind || file->index != like->index || file->number != like->number)
            continue;
        *next_io = position + 1;
        return file;
    }
    return NULL;
}

/* --- Replicas against each other ------------------------------------------------------------- */

static void tell_difference(struct byte_buffer *json, const char *what,
                            const struct cluster_state *state, uint64_t one, uint64_t other)
{
    next_element(json);
    json_raw(json, TEXT("{"));
    rescue_json_text(json, "what", what);
    rescue_json_name(json, "nodes");
    json_raw(json, TEXT("["));
    rescue_json_node(json, state, one);
    json_raw(json, TEXT(","));
    rescue_json_node(json, state, other);
    json_raw(json, TEXT("]}"));
}

/* A series segment that is damaged, or that an older node has read, comes without. */
static bool differs(const struct rescue_file *file, const struct rescue_file *theirs)
{
    static const struct hash128 NONE = {0, 0};
    bool is_told =
        file->kind != FILE_KIND_SEGMENT || (!hash128_equal(file->content_checksum, NONE) &&
                                            !hash128_equal(theirs->content_checksum, NONE));
    return is_told && !hash128_equal(theirs->content_checksum, file->content_checksum);
}

/* Files that both have, by name, and the whole state where both froze it at the same index. */
static size_t compare(const struct cluster_state *state, const struct rescue_finding *one,
                      const struct rescue_finding *other, struct byte_buffer *json)
{
    size_t differences = 0, next = 0;
    for (size_t i = 0; i < one->verdict.file_count; i++) {
        const struct rescue_file *file = &one->verdict.files[i];
        const struct rescue_file *theirs = find_file(&other->verdict, file, &next);
        char name[64];
        if (theirs == NULL || !differs(file, theirs))
            continue;
        differences++;
        tell_difference(json, name_file(file, name, sizeof name), state, one->node_id,
                        other->node_id);
    }
    bool same_freeze =
        one->verdict.frozen_index == other->verdict.frozen_index && one->verdict.frozen_index > 0;
    if (same_freeze && differences == 0 &&
        one->verdict.frozen_checksum != other->verdict.frozen_checksum) {
        differences++;
        tell_difference(json, "state at the last freeze", state, one->node_id, other->node_id);
    }
    return differences;
}

/* --- A shard --------------------------------------------------------------------------------- */

static bool encode_replica(const struct cluster_state *state, const struct rescue_finding *finding,
                           uint64_t newest_index, struct byte_buffer *json)
{
    next_element(json);
    json_raw(json, TEXT("{"));
    rescue_json_name(json, "node");
    rescue_json_node(json, state, finding->node_id);
    if (finding->error.code != ERROR_NONE) {
        rescue_json_text(json, "error", finding->error.message);
        json_raw(json, TEXT("}"));
        return false;
    }
    const struct rescue_verdict *verdict = &finding->verdict;
    rescue_json_number(json, "files", verdict->file_count);
    rescue_json_number(json, "bytes", verdict->bytes);
    rescue_json_number(json, "appliedIndex", verdict->applied_index);
    rescue_json_number(json, "entriesBehind", newest_index - verdict->applied_index);
    rescue_json_number(json, "frozenIndex", verdict->frozen_index);
    rescue_json_name(json, "damaged");
    bool is_sound = encode_damaged(verdict, json) == 0;
    json_raw(json, TEXT("}"));
    return is_sound;
}

enum rescue_soundness rescue_found_encode(const struct cluster_state *state, uint32_t shard_id,
                                          const struct rescue_finding *findings, size_t count,
                                          struct byte_buffer *json)
{
    uint64_t newest_index = 0;
    bool is_sound = true;
    size_t differences = 0;
    for (size_t i = 0; i < count; i++)
        if (findings[i].error.code == ERROR_NONE &&
            findings[i].verdict.applied_index > newest_index)
            newest_index = findings[i].verdict.applied_index;
    json_raw(json, TEXT("{"));
    rescue_json_number(json, "shard", shard_id);
    rescue_json_name(json, "replicas");
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < count; i++)
        is_sound &= encode_replica(state, &findings[i], newest_index, json);
    json_raw(json, TEXT("]"));
    rescue_json_name(json, "differences");
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++)
            if (findings[i].error.code == ERROR_NONE && findings[k].error.code == ERROR_NONE)
                differences += compare(state, &findings[i], &findings[k], json);
    json_raw(json, TEXT("]"));
    is_sound &= differences == 0;
    rescue_json_name(json, "sound");
    json_raw(json, is_sound ? TEXT("true") : TEXT("false"));
    json_raw(json, TEXT("}"));
    return is_sound ? RESCUE_SOUND : RESCUE_UNSOUND;
}
