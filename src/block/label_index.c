#include "label_index.h"

#include <assert.h>
#include <stdlib.h>

#include "label_fetch.h"
#include "label_pages.h"
#include "postings.h"

/* Kinds of index_postings. */
enum { LIST_OF_PAIR, LIST_OF_ONE };

static const struct label_index *index_of(struct index_source *source)
{
    return (const struct label_index *)source;
}

/* --- Keys ------------------------------------------------------------------------------------- */

/* A key of a number and a text, on the stack when it is short. */
struct numbered_key {
    uint8_t small[256];
    uint8_t *large;
    size_t size;
};

static enum error_code key_init(struct numbered_key *key, uint32_t number, struct text text,
                                struct error *error)
{
    key->large = NULL;
    key->size = 4 + text.size;
    uint8_t *bytes = key->small;
    if (key->size > sizeof key->small) {
        key->large = malloc(key->size);
        if (key->large == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "label index");
        bytes = key->large;
    }
    key_store_be32(bytes, number);
    if (text.size > 0)
        memcpy(bytes + 4, text.data, text.size);
    return ERROR_NONE;
}

static struct text key_text(const struct numbered_key *key)
{
    return (struct text){(const char *)(key->large != NULL ? key->large : key->small), key->size};
}

/* The entry of (number, text); its pin is the caller's when it is found. */
static enum error_code find_numbered(const struct table *table, uint32_t number, struct text text,
                                     struct table_entry *entry_out, bool *found_out,
                                     struct error *error)
{
    struct numbered_key key;
    enum error_code code = key_init(&key, number, text, error);
    if (code != ERROR_NONE)
        return code;
    code = table_find(table, key_text(&key), entry_out, found_out, error);
    free(key.large);
    return code;
}

enum error_code label_index_find_name(const struct label_index *index, struct text tenant,
                                      struct text name, uint32_t *number_out, bool *found_out,
                                      struct error *error)
{
    uint32_t tenant_number;
    *found_out = false;
    if (name.size > LABEL_SET_BYTES_MAX ||
        !tenant_list_find(index->tenants, tenant, &tenant_number))
        return ERROR_NONE;
    struct table_entry entry;
    enum error_code code =
        find_numbered(&index->names, tenant_number, name, &entry, found_out, error);
    if (code != ERROR_NONE || !*found_out)
        return code;
    *number_out = (uint32_t)entry.ordinal;
    page_unpin(&entry.pin);
    return ERROR_NONE;
}

/* --- Postings --------------------------------------------------------------------------------- */

static enum error_code corrupt_postings(const struct label_index *index, struct error *error)
{
    return page_file_corrupt(index->file, "postings", error);
}

/* A list is named by the place of its payload. */
static struct index_postings postings_at(uint32_t count, struct table_place place)
{
    return (struct index_postings){
        .count = count,
        .kind = LIST_OF_PAIR,
        .first = place.leaf.offset_bytes,
        .second = (uint64_t)place.leaf.size_bytes << 32 | place.offset_bytes,
    };
}

static struct table_place place_of(struct index_postings postings)
{
    return (struct table_place){
        .leaf = {.offset_bytes = postings.first, .size_bytes = (uint32_t)(postings.second >> 32)},
        .offset_bytes = (uint32_t)postings.second,
    };
}

/* What stands in a payload before its list. */
static enum error_code postings_of(const struct label_index *index, struct table_place place,
                                   struct text payload, struct index_postings *postings_out,
                                   struct error *error)
{
    struct byte_reader reader = byte_reader_over((const uint8_t *)payload.data, payload.size);
    uint64_t count = byte_reader_varint(&reader);
    if (reader.failed || count == 0 || count > index->series_count)
        return corrupt_postings(index, error);
    *postings_out = postings_at((uint32_t)count, place);
    if (count == 1) {
        postings_out->kind = LIST_OF_ONE;
        postings_out->first = byte_reader_varint(&reader);
        if (reader.failed || postings_out->first >= index->series_count)
            return corrupt_postings(index, error);
    }
    return ERROR_NONE;
}

/* Who gets the positions of a list. */
struct receiver {
    index_positions_visit *visit;
    void *context;
};

static enum error_code walk_external(const struct label_index *index, struct byte_reader *reader,
                                     enum postings_form form, size_t count,
                                     struct receiver receiver, struct error *error)
{
    struct page_reference page;
    page.offset_bytes = byte_reader_varint(reader);
    uint64_t page_size = byte_reader_varint(reader);
    uint64_t offset = byte_reader_varint(reader);
    uint64_t size = byte_reader_varint(reader);
    if (reader->failed || page_size > UINT32_MAX)
        return corrupt_postings(index, error);
    page.size_bytes = (uint32_t)page_size;
    struct page_pin pin = {0};
    enum error_code code = page_file_pin(index->file, page, PAGE_POSTINGS, &pin, error);
    if (code != ERROR_NONE)
        return code;
    if (offset > pin.size || size > pin.size - offset)
        code = corrupt_postings(index, error);
    else
        code = postings_walk(form, pin.bytes + offset, size, index->series_count, count,
                             receiver.visit, receiver.context, error);
    page_unpin(&pin);
    return code;
}

/* The list of `count` > 1 positions in a payload, `reader` behind the count. */
static enum error_code walk_payload(const struct label_index *index, struct byte_reader reader,
                                    size_t count, struct receiver receiver, struct error *error)
{
    unsigned head = byte_reader_u8(&reader);
    if (reader.failed)
        return corrupt_postings(index, error);
    enum postings_form form = (enum postings_form)(head & POSTINGS_FORM_MASK);
    if (head & POSTINGS_EXTERNAL)
        return walk_external(index, &reader, form, count, receiver, error);
    return postings_walk(form, reader.position, byte_reader_left(&reader), index->series_count,
                         count, receiver.visit, receiver.context, error);
}

/* Pin the payload of a list and see how many positions there are: more than one. The reader stands
 * behind their number. */
static enum error_code pin_payload(const struct label_index *index, struct index_postings postings,
                                   struct page_pin *pin, struct byte_reader *reader_out,
                                   size_t *count_out, struct error *error)
{
    struct text payload;
    enum error_code code =
        table_read_payload(&index->pairs, place_of(postings), pin, &payload, error);
    if (code != ERROR_NONE)
        return code;
    *reader_out = byte_reader_over((const uint8_t *)payload.data, payload.size);
    uint64_t count = byte_reader_varint(reader_out);
    if (reader_out->failed || count < 2 || count > index->series_count) {
        page_unpin(pin);
        return corrupt_postings(index, error);
    }
    *count_out = count;
    return ERROR_NONE;
}

/* Numbers of pairs tell the tenant already. */
static enum error_code source_walk(struct index_source *source, struct text tenant,
                                   struct index_postings postings, index_positions_visit *visit,
                                   void *context, struct error *error)
{
    (void)tenant;
    const struct label_index *index = index_of(source);
    if (postings.count == 0)
        return ERROR_NONE;
    if (postings.kind == LIST_OF_ONE) {
        uint32_t position = (uint32_t)postings.first;
        visit(context, (struct positions){&position, 1});
        return ERROR_NONE;
    }
    struct page_pin pin = {0};
    struct byte_reader reader;
    size_t count;
    enum error_code code = pin_payload(index, postings, &pin, &reader, &count, error);
    if (code != ERROR_NONE)
        return code;
    code = walk_payload(index, reader, count, (struct receiver){visit, context}, error);
    page_unpin(&pin);
    return code;
}

static void append(void *context, struct positions some)
{
    uint32_t **target = context;
    memcpy(*target, some.items, some.count * sizeof **target);
    *target += some.count;
}

static enum error_code source_read(struct index_source *source, struct text tenant,
                                   struct index_postings postings, struct arena *arena,
                                   struct positions *positions_out, struct error *error)
{
    (void)tenant;
    const struct label_index *index = index_of(source);
    struct page_pin pin = {0};
    struct byte_reader reader;
    size_t count = postings.count;
    enum error_code code = ERROR_NONE;
    if (count > 0 && postings.kind != LIST_OF_ONE)
        code = pin_payload(index, postings, &pin, &reader, &count, error);
    if (code != ERROR_NONE)
        return code;
    uint32_t *items = arena_array(arena, count, sizeof *items);
    uint32_t *end = items;
    if (items == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "postings of %zu series", count);
    else if (count > 0 && postings.kind == LIST_OF_ONE)
        *items = (uint32_t)postings.first;
    else if (count > 0)
        code = walk_payload(index, reader, count, (struct receiver){append, &end}, error);
    page_unpin(&pin);
    if (code == ERROR_NONE)
        *positions_out = (struct positions){.items = items, .count = count};
    return code;
}

static uint32_t source_position_end(struct index_source *source)
{
    return index_of(source)->series_count;
}

static enum error_code find_pair(const struct label_index *index, struct text tenant,
                                 struct text name, struct text value,
                                 struct index_postings *postings_out, struct error *error)
{
    *postings_out = (struct index_postings){0};
    uint32_t name_number = 0;
    bool found;
    enum error_code code = label_index_find_name(index, tenant, name, &name_number, &found, error);
    if (code != ERROR_NONE || !found || value.size > LABEL_SET_BYTES_MAX)
        return code;
    struct table_entry entry;
    code = find_numbered(&index->pairs, name_number, value, &entry, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    code = postings_of(index, entry.place, entry.payload, postings_out, error);
    page_unpin(&entry.pin);
    return code;
}

static enum error_code source_find(struct index_source *source, struct text tenant,
                                   struct text name, struct text value,
                                   struct index_postings *postings_out, struct error *error)
{
    /* The name without text is ours. */
    *postings_out = (struct index_postings){0};
    if (name.size == 0 || value.size == 0)
        return ERROR_NONE;
    return find_pair(index_of(source), tenant, name, value, postings_out, error);
}

static enum error_code source_all(struct index_source *source, struct text tenant,
                                  struct arena *arena, struct positions *positions_out,
                                  struct error *error)
{
    struct index_postings postings;
    enum error_code code =
        find_pair(index_of(source), tenant, (struct text){0}, (struct text){0}, &postings, error);
    if (code != ERROR_NONE)
        return code;
    return source_read(source, tenant, postings, arena, positions_out, error);
}

/* --- Digests of lists ------------------------------------------------------------------------- */

/* Of a list: what it is the list of. */
static uint64_t list_key(struct text tenant, struct text name)
{
    uint64_t parts[2] = {hash64(tenant.data, tenant.size, 0), hash64(name.data, name.size, 0)};
    return hash64(parts, sizeof parts, 0);
}

static void remember_digest(struct label_index *index, uint64_t key, uint64_t digest)
{
    struct list_digest *slot = &index->digests[key % LIST_DIGESTS];
    atomic_store_explicit(&slot->digest, digest, memory_order_relaxed);
    atomic_store_explicit(&slot->key_and_digest, key ^ digest, memory_order_relaxed);
}

static uint64_t source_digest(struct index_source *source, struct text tenant, struct text name)
{
    struct label_index *index = (struct label_index *)source;
    uint64_t key = list_key(tenant, name);
    struct list_digest *slot = &index->digests[key % LIST_DIGESTS];
    uint64_t digest = atomic_load_explicit(&slot->digest, memory_order_relaxed);
    uint64_t both = atomic_load_explicit(&slot->key_and_digest, memory_order_relaxed);
    return (both ^ digest) == key ? digest : 0;
}

/* Of the texts so far and one more; never 0. */
static uint64_t digest_add(uint64_t digest, struct text text)
{
    return hash64(text.data, text.size, digest) | 1;
}

/* --- Names and values ------------------------------------------------------------------------- */

static enum error_code source_names(struct index_source *source, struct text tenant,
                                    index_name_visit *visit, void *context, struct error *error)
{
    const struct label_index *index = index_of(source);
    uint64_t digest = 1;
    bool is_whole = true;
    uint32_t number;
    if (!tenant_list_find(index->tenants, tenant, &number))
        return ERROR_NONE;
    uint8_t prefix[4];
    key_store_be32(prefix, number);
    struct text wanted = {(const char *)prefix, sizeof prefix};
    struct table_cursor cursor = {.table = &index->names};
    enum error_code code = table_cursor_seek(&cursor, wanted, error);
    while (code == ERROR_NONE && is_whole && cursor.valid &&
           text_starts_with(table_cursor_key(&cursor), wanted)) {
        struct text key = table_cursor_key(&cursor);
        struct text name = {key.data + 4, key.size - 4};
        if (name.size > 0) {
            is_whole = visit(context, name);
            digest = digest_add(digest, name);
        }
        if (is_whole)
            code = table_cursor_next(&cursor, error);
    }
    table_cursor_clear(&cursor);
    if (code == ERROR_NONE && is_whole)
        remember_digest((struct label_index *)source, list_key(tenant, (struct text){0}), digest);
    return code;
}

/* *digest_out is 0 when the visit ended before the values did. */
static enum error_code visit_values(const struct label_index *index, struct text wanted,
                                    index_value_visit *visit, void *context, uint64_t *digest_out,
                                    struct error *error)
{
    *digest_out = 1;
    struct table_cursor cursor = {.table = &index->pairs};
    enum error_code code = table_cursor_seek(&cursor, wanted, error);
    while (code == ERROR_NONE && cursor.valid &&
           text_starts_with(table_cursor_key(&cursor), wanted)) {
        struct index_postings postings;
        code = postings_of(index, cursor.place, cursor.payload, &postings, error);
        if (code != ERROR_NONE)
            break;
        struct text key = table_cursor_key(&cursor);
        struct text value = {key.data + 4, key.size - 4};
        *digest_out = visit(context, value, postings) ? digest_add(*digest_out, value) : 0;
        if (*digest_out == 0)
            break;
        code = table_cursor_next(&cursor, error);
    }
    table_cursor_clear(&cursor);
    return code;
}

static enum error_code source_values(struct index_source *source, struct text tenant,
                                     struct text name, struct text prefix, index_value_visit *visit,
                                     void *context, struct error *error)
{
    const struct label_index *index = index_of(source);
    uint32_t number = 0;
    bool found;
    if (name.size == 0 || prefix.size > LABEL_SET_BYTES_MAX)
        return ERROR_NONE;
    enum error_code code = label_index_find_name(index, tenant, name, &number, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    struct numbered_key key;
    uint64_t digest = 0;
    code = key_init(&key, number, prefix, error);
    if (code == ERROR_NONE)
        code = visit_values(index, key_text(&key), visit, context, &digest, error);
    free(key.large);
    if (code == ERROR_NONE && digest != 0 && prefix.size == 0)
        remember_digest((struct label_index *)source, list_key(tenant, name), digest);
    return code;
}

/* --- Labels ----------------------------------------------------------------------------------- */

static enum error_code source_labels(struct index_source *source, struct positions positions,
                                     struct arena *arena, struct labels *labels_out,
                                     struct error *error)
{
    const struct label_index *index = index_of(source);
    struct label_pages pages;
    enum error_code code = label_pages_init(&pages, index, error);
    if (code == ERROR_NONE)
        code = label_fetch_labels(index, positions, error);
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++)
        code = label_pages_labels(&pages, positions.items[i], arena, &labels_out[i], error);
    label_pages_clear(&pages);
    return code;
}

static enum error_code source_identities(struct index_source *source, struct positions positions,
                                         struct hash128 *identities_out, struct error *error)
{
    struct label_pages pages;
    enum error_code code = label_pages_init(&pages, index_of(source), error);
    if (code == ERROR_NONE)
        code = label_fetch_labels(index_of(source), positions, error);
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++)
        code = label_pages_identity(&pages, positions.items[i], &identities_out[i], error);
    label_pages_clear(&pages);
    return code;
}

static enum error_code source_slots(struct index_source *source, struct positions positions,
                                    uint16_t *slots_out, struct error *error)
{
    struct label_rows rows = {.index = index_of(source)};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++) {
        code = label_rows_seek(&rows, positions.items[i], error);
        slots_out[i] = rows.row.slot;
    }
    label_rows_clear(&rows);
    return code;
}

/* --- Opening ---------------------------------------------------------------------------------- */

static const struct index_source_operations OPERATIONS = {
    .digest = source_digest,
    .all = source_all,
    .names = source_names,
    .values = source_values,
    .find = source_find,
    .read = source_read,
    .walk = source_walk,
    .position_end = source_position_end,
    .labels = source_labels,
    .identities = source_identities,
    .slots = source_slots,
};

enum error_code label_index_open(struct label_index *index, const struct page_file *file,
                                 const struct tenant_list *tenants, enum label_columns columns,
                                 struct error *error)
{
    *index = (struct label_index){.source = {.operations = &OPERATIONS},
                                  .file = file,
                                  .tenants = tenants,
                                  .columns = columns};
    enum error_code code = table_open(&index->names, file, TOC_NAMES, error);
    if (code == ERROR_NONE)
        code = table_open(&index->pairs, file, TOC_PAIRS, error);
    if (code == ERROR_NONE)
        code = tree_open(&index->labels, file, TOC_LABELS, error);
    if (code != ERROR_NONE)
        return code;
    /* A label page takes some bytes a series, so this bounds what a few bytes can claim. */
    uint64_t count = index->labels.entry_count;
    if (count != file->footer.summary.series_count || count >= UINT32_MAX ||
        count / LABEL_PAGE_SERIES > file->footer.summary.size_bytes / PAGE_HEAD_BYTES)
        return page_file_corrupt(file, "number of series", error);
    index->series_count = (uint32_t)count;
    return ERROR_NONE;
}
