/* An entry of a shard's log: what is understood can be written again and means the same. */
#include <stdlib.h>
#include <string.h>

#include "../../src/shard/bucket_entry.h"
#include "../../src/shard/entry_forget.h"
#include "../../src/shard/manifest.h"
#include "../../src/shard/retention.h"
#include "../../src/shard/tombstones.h"
#include "base/checksum.h"
#include "shard/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The encoding of what was decoded is decoded to the same. */
static void check_write(struct byte_reader *reader)
{
    struct arena *arena = arena_create(64 << 20);
    struct byte_buffer once = {0}, twice = {0};
    struct error error;
    uint64_t next_id;
    bool more = true;
    if (arena == NULL)
        return;
    if (entry_decode_next_id(reader, &next_id, &error) == ERROR_NONE) {
        struct entry_part part;
        while (entry_decode_part(reader, arena, &part, &more, &error) == ERROR_NONE && more)
            entry_encode_part(&once, &part);
        struct byte_reader again = byte_reader_over(once.bytes, once.size);
        more = true;
        while (more) {
            enum error_code code = entry_decode_part(&again, arena, &part, &more, &error);
            if (code == ERROR_OUT_OF_MEMORY) /* both decodings are in one arena */
                twice.failed = true;
            else if (code != ERROR_NONE)
                abort();
            more = more && !twice.failed;
            if (more)
                entry_encode_part(&twice, &part);
        }
        if (!once.failed && !twice.failed &&
            (once.size != twice.size ||
             (once.size > 0 && memcmp(once.bytes, twice.bytes, once.size) != 0)))
            abort();
    }
    byte_buffer_clear(&once);
    byte_buffer_clear(&twice);
    arena_destroy(arena);
}

static void check_forget(struct byte_reader *reader, int64_t stamp_ms)
{
    struct arena *arena = arena_create(1 << 20);
    struct byte_buffer once = {0};
    struct forgotten_ids ids, again;
    struct entry_header header;
    struct error error;
    if (arena != NULL && entry_decode_forget(reader, arena, &ids, &error) == ERROR_NONE) {
        for (size_t i = 1; i < ids.count; i++)
            if (ids.ids[i - 1] >= ids.ids[i])
                abort();
        entry_encode_forget(&once, stamp_ms, ids.ids, ids.count);
        struct byte_reader encoded = byte_reader_over(once.bytes, once.size);
        if (!once.failed && (entry_decode_header(&encoded, &header, &error) != ERROR_NONE ||
                             entry_decode_forget(&encoded, arena, &again, &error) != ERROR_NONE ||
                             again.count != ids.count ||
                             memcmp(again.ids, ids.ids, ids.count * sizeof *ids.ids) != 0))
            abort();
    }
    byte_buffer_clear(&once);
    arena_destroy(arena);
}

static void check_forget_metadata(struct byte_reader *reader)
{
    struct arena *arena = arena_create(1 << 20);
    struct forgotten_metrics forgotten;
    struct error error;
    size_t bytes = 0;
    if (arena != NULL &&
        entry_decode_forget_metadata(reader, arena, &forgotten, &error) == ERROR_NONE)
        for (size_t i = 0; i < forgotten.count; i++) /* all of the texts can be read */
            bytes += hash64(forgotten.metrics[i].tenant.data, forgotten.metrics[i].tenant.size, 0) +
                     hash64(forgotten.metrics[i].metric_name.data,
                            forgotten.metrics[i].metric_name.size, bytes);
    arena_destroy(arena);
}

static void check_split(struct byte_reader *reader)
{
    struct byte_buffer once = {0};
    struct manifest_split split, again;
    struct error error;
    if (manifest_decode_split(reader, &split, &error) != ERROR_NONE)
        return;
    if (slot_set_count(&split.slots) == 0 || slot_set_count(&split.slots) > SLOT_COUNT)
        abort();
    manifest_encode_split(&once, &split);
    struct byte_reader encoded = byte_reader_over(once.bytes, once.size);
    if (!once.failed && (manifest_decode_split(&encoded, &again, &error) != ERROR_NONE ||
                         again.founder_count != split.founder_count ||
                         memcmp(&again.slots, &split.slots, sizeof split.slots) != 0 ||
                         memcmp(again.founders, split.founders, sizeof split.founders) != 0))
        abort();
    byte_buffer_clear(&once);
}

static void check_retention(struct byte_reader *reader)
{
    struct byte_buffer once = {0};
    struct retention_news news, again;
    struct error error;
    if (retention_news_decode(reader, &news, &error) != ERROR_NONE)
        return;
    retention_news_encode(&news, &once);
    struct byte_reader encoded = byte_reader_over(once.bytes, once.size);
    if (!once.failed) {
        if (retention_news_decode(&encoded, &again, &error) != ERROR_NONE ||
            again.step != news.step || again.at_ms != news.at_ms ||
            !retention_policy_equal(again.policy, news.policy))
            abort();
        retention_policy_unref(again.policy);
    }
    retention_policy_unref(news.policy);
    byte_buffer_clear(&once);
}

/* What is encoded of it again is the body that was read, but for longer numbers than needed. */
static void check_uploaded(struct byte_reader *reader, const struct entry_header *header)
{
    struct byte_buffer once = {0};
    struct bucket_upload *uploads, *again;
    struct entry_header decoded;
    struct error error;
    size_t count, again_count;
    if (bucket_decode_uploaded(reader, 1000, &uploads, &count, &error) != ERROR_NONE)
        return;
    bucket_encode_uploaded(&once, header->stamp_ms, uploads, count);
    struct byte_reader encoded = byte_reader_over(once.bytes, once.size);
    if (!once.failed) {
        if (entry_decode_header(&encoded, &decoded, &error) != ERROR_NONE ||
            bucket_decode_uploaded(&encoded, 1000, &again, &again_count, &error) != ERROR_NONE ||
            again_count != count || again[count - 1].size_bytes != uploads[count - 1].size_bytes)
            abort();
        free(again);
    }
    free(uploads);
    byte_buffer_clear(&once);
}

static void check_bucket(struct byte_reader *reader, const struct entry_header *header)
{
    struct bucket_upload *removed;
    struct bucket_list_name published;
    struct error error;
    size_t count;
    if (header->kind == ENTRY_UPLOADED)
        check_uploaded(reader, header);
    if (header->kind == ENTRY_REMOVED &&
        bucket_decode_removed(reader, &removed, &count, &error) == ERROR_NONE)
        free(removed);
    if (header->kind == ENTRY_PUBLISHED &&
        bucket_decode_published(reader, 1000, &published, &error) == ERROR_NONE &&
        published.index >= 1000)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct entry_header header;
    struct error error;
    if (entry_decode_header(&reader, &header, &error) != ERROR_NONE)
        return 0;
    if (header.kind == ENTRY_WRITE)
        check_write(&reader);
    if (header.kind == ENTRY_FORGET_SERIES)
        check_forget(&reader, header.stamp_ms);
    if (header.kind == ENTRY_FORGET_METADATA)
        check_forget_metadata(&reader);
    if (header.kind == ENTRY_SPLIT)
        check_split(&reader);
    if (header.kind == ENTRY_RETENTION_POLICY)
        check_retention(&reader);
    check_bucket(&reader, &header);
    struct tombstone tombstone;
    if (header.kind == ENTRY_DELETE_SERIES &&
        tombstone_decode(&reader, &tombstone, &error) == ERROR_NONE)
        tombstone_clear(&tombstone);
    return 0;
}
