/* status/tsdb/blocks: the blocks of all shards, as Prometheus shows the metadata of its own. */
#include "api_private.h"
#include "wire/json_field.h"

enum { ULID_CHARACTERS = 26 };

struct listing {
    struct byte_buffer json;
    uint32_t shard;
};

/*
 * A name of 26 characters (https://github.com/ulid/spec): 48 bits of time, here of the oldest
 * sample, and 80 bits that tell it from others, here the shard and the index of the merge. The same
 * on every replica.
 */
static void append_ulid(struct byte_buffer *json, uint32_t shard,
                        const struct shard_block_status *block)
{
    static const char DIGITS[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t time_ms = block->start_ms > 0 ? (uint64_t)block->start_ms : 0;
    unsigned __int128 value = (unsigned __int128)(time_ms & 0xffffffffffff) << 80 |
                              (unsigned __int128)(shard & 0xffff) << 64 | block->index;
    char ulid[ULID_CHARACTERS];
    for (size_t i = ULID_CHARACTERS; i-- > 0; value >>= 5)
        ulid[i] = DIGITS[value & 31];
    json_string(json, (struct text){ulid, sizeof ulid});
}

static void append_block(void *context, const struct shard_block_status *block)
{
    struct listing *listing = context;
    struct byte_buffer *json = &listing->json;
    bool is_first = json->bytes != NULL && json->bytes[json->size - 1] == '[';
    json_raw(json, is_first ? TEXT("{") : TEXT(",{"));
    json_field_name(json, "ulid");
    append_ulid(json, listing->shard, block);
    json_integer_field(json, "minTime", block->start_ms);
    json_integer_field(json, "maxTime", block->end_ms);
    json_field_name(json, "stats");
    json_raw(json, TEXT("{"));
    json_integer_field(json, "numSamples", (int64_t)block->sample_count);
    json_integer_field(json, "numSeries", (int64_t)block->series_count);
    json_raw(json, TEXT("},\"compaction\":{\"level\":1,\"sources\":["));
    append_ulid(json, listing->shard, block);
    json_raw(json, TEXT("]}"));
    json_integer_field(json, "version", 1);
    json_integer_field(json, "shard", listing->shard);
    json_integer_field(json, "sizeBytes", (int64_t)block->size_bytes);
    json_raw(json, TEXT("}"));
}

static void append_blocks(void *context, uint32_t shard_id, struct replica *replica)
{
    struct listing *listing = context;
    listing->shard = shard_id;
    shard_visit_blocks(replica_shard(replica), append_block, listing);
}

void api_status_blocks(struct http_request *request)
{
    struct api *api = api_of(request);
    struct listing listing = {.shard = 0};
    json_raw(&listing.json, TEXT("{\"blocks\":["));
    replica_table_visit(api->options.replicas, append_blocks, &listing);
    json_raw(&listing.json, TEXT("]}"));
    api_respond_data(request, &listing.json);
}
