#include "label_fetch.h"

#include <stdlib.h>

#include "label_pages.h"

enum {
    /* A list lies before its pair: behind so many bytes of other pairs and lists, mostly. */
    LISTS_AHEAD_BYTES = 128 * 1024,
    /* Of the values of one label that are to be looked at one by one. */
    VALUES_BYTES_MAX = 16 * 1024 * 1024,
    /* An alternation of more is few against the values between. */
    LITERALS_MAX = 64,
};

/* --- Leaves of trees -------------------------------------------------------------------------- */

enum error_code tree_fetch_ordinals(const struct tree *tree, uint64_t first, uint64_t end,
                                    struct range_list *list, struct error *error)
{
    if (end > tree->entry_count)
        end = tree->entry_count;
    while (first < end) {
        struct tree_leaf leaf;
        enum error_code code = tree_find_ordinal(tree, first, &leaf, error);
        if (code != ERROR_NONE)
            return code;
        range_list_add_page(list, tree->file, leaf.page);
        if (leaf.end_ordinal <= first)
            return page_file_corrupt(tree->file, "node of a tree", error);
        first = leaf.end_ordinal;
    }
    return ERROR_NONE;
}

enum error_code tree_fetch_positions(const struct tree *tree, struct positions positions,
                                     struct range_list *list, struct error *error)
{
    uint64_t end = 0;
    for (size_t i = 0; i < positions.count; i++) {
        struct tree_leaf leaf;
        if (positions.items[i] < end || positions.items[i] >= tree->entry_count)
            continue;
        enum error_code code = tree_find_ordinal(tree, positions.items[i], &leaf, error);
        if (code != ERROR_NONE)
            return code;
        range_list_add_page(list, tree->file, leaf.page);
        end = leaf.end_ordinal;
    }
    return ERROR_NONE;
}

/* --- Pairs ------------------------------------------------------------------------------------ */

static void pair_key(struct byte_buffer *key, uint32_t name, struct text value)
{
    uint8_t number[4];
    key_store_be32(number, name);
    byte_buffer_reset(key);
    byte_buffer_append(key, number, sizeof number);
    byte_buffer_append(key, value.data, value.size);
}

static enum error_code find_leaf(const struct label_index *index, const struct byte_buffer *key,
                                 struct tree_leaf *leaf_out, bool *found_out, struct error *error)
{
    if (key->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "label index");
    struct text text = {(const char *)key->bytes, key->size};
    return tree_find_key(&index->pairs.tree, text, leaf_out, found_out, error);
}

static void add_with_lists(const struct label_index *index, struct page_reference leaf,
                           struct range_list *list)
{
    uint64_t start = leaf.offset_bytes;
    uint64_t least = index->file->index_start;
    uint64_t ahead = start > least ? start - least : 0;
    if (ahead > LISTS_AHEAD_BYTES)
        ahead = LISTS_AHEAD_BYTES;
    range_list_add(list, index->file, start - ahead, start + leaf.size_bytes);
}

static enum error_code fetch_literals(const struct label_index *index, uint32_t name,
                                      const struct text *values, size_t count,
                                      struct range_list *list, struct error *error)
{
    struct byte_buffer key = {0};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct tree_leaf leaf;
        bool found = false;
        pair_key(&key, name, values[i]);
        code = find_leaf(index, &key, &leaf, &found, error);
        if (code == ERROR_NONE && found)
            add_with_lists(index, leaf.page, list);
    }
    byte_buffer_clear(&key);
    return code;
}

/* From the first leaf that may have a value with the prefix to the last. */
static enum error_code fetch_prefix(const struct label_index *index, uint32_t name,
                                    struct text prefix, struct range_list *list,
                                    struct error *error)
{
    struct byte_buffer key = {0};
    struct tree_leaf first = {0}, last = {0};
    bool has_first = false, has_last = false;
    pair_key(&key, name, prefix);
    enum error_code code = find_leaf(index, &key, &first, &has_first, error);
    if (prefix.size == 0)
        pair_key(&key, name + 1, prefix);
    else
        byte_buffer_append(&key, "\xff\xff\xff\xff", 4); /* above all that is UTF-8 */
    if (code == ERROR_NONE)
        code = find_leaf(index, &key, &last, &has_last, error);
    byte_buffer_clear(&key);
    if (code == ERROR_NONE && has_last && !has_first)
        code = tree_find_ordinal(&index->pairs.tree, 0, &first, error);
    if (code != ERROR_NONE || !has_last)
        return code;
    uint64_t start = first.page.offset_bytes;
    uint64_t end = last.page.offset_bytes + last.page.size_bytes;
    if (start > end)
        return page_file_corrupt(index->file, "leaves out of order", error);
    if (end - start > VALUES_BYTES_MAX)
        end = start + VALUES_BYTES_MAX;
    add_with_lists(index, first.page, list);
    range_list_add(list, index->file, start, end);
    return ERROR_NONE;
}

enum error_code label_fetch_values(const struct label_index *index, struct text tenant,
                                   struct text name, struct text prefix, struct range_list *list,
                                   struct error *error)
{
    uint32_t number;
    bool found;
    if (prefix.size > LABEL_SET_BYTES_MAX)
        return ERROR_NONE;
    enum error_code code = label_index_find_name(index, tenant, name, &number, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    return fetch_prefix(index, number, prefix, list, error);
}

enum error_code label_fetch_matcher(const struct label_index *index, struct text tenant,
                                    const struct matcher *matcher, struct range_list *list,
                                    struct error *error)
{
    uint32_t number;
    bool found;
    const struct text *values = &matcher->value;
    size_t count = 1;
    bool are_literals =
        matcher->type == MATCHER_NOT_EQUAL || matcher_literals(matcher, &values, &count);
    if (!are_literals || count > LITERALS_MAX)
        return label_fetch_values(index, tenant, matcher->name,
                                  are_literals ? (struct text){0} : matcher_prefix(matcher), list,
                                  error);
    enum error_code code =
        label_index_find_name(index, tenant, matcher->name, &number, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    return fetch_literals(index, number, values, count, list, error);
}

/* --- Texts ------------------------------------------------------------------------------------ */

/* Mark the groups of pairs that the rows have. */
static enum error_code mark_groups(const struct label_index *index, struct positions positions,
                                   uint64_t *groups, struct error *error)
{
    struct label_rows rows = {.index = index};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++) {
        code = label_rows_seek(&rows, positions.items[i], error);
        for (uint32_t pair = 0; code == ERROR_NONE && pair < rows.row.pair_count; pair++) {
            uint32_t group = rows.row.pairs[pair] / PAIR_GROUP_PAIRS;
            groups[group / 64] |= UINT64_C(1) << group % 64;
        }
    }
    label_rows_clear(&rows);
    return code;
}

enum error_code label_fetch_texts(const struct label_index *index, struct positions positions,
                                  struct range_list *list, struct error *error)
{
    if (!page_source_is_remote(index->file->source))
        return ERROR_NONE;
    uint64_t group_count = table_count(&index->pairs) / PAIR_GROUP_PAIRS + 1;
    uint64_t *groups = calloc(group_count / 64 + 1, sizeof *groups);
    if (groups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read labels");
    enum error_code code = mark_groups(index, positions, groups, error);
    for (uint64_t group = 0; code == ERROR_NONE && group < group_count; group++)
        if (groups[group / 64] >> group % 64 & 1)
            code = tree_fetch_ordinals(&index->pairs.tree, group * PAIR_GROUP_PAIRS,
                                       (group + 1) * PAIR_GROUP_PAIRS, list, error);
    free(groups);
    return code;
}

enum error_code label_fetch_labels(const struct label_index *index, struct positions positions,
                                   struct error *error)
{
    if (!page_source_is_remote(index->file->source))
        return ERROR_NONE;
    struct range_list list = {0};
    enum error_code code = tree_fetch_positions(&index->labels, positions, &list, error);
    if (code == ERROR_NONE)
        code = range_list_run(&list, error);
    if (code == ERROR_NONE)
        code = label_fetch_texts(index, positions, &list, error);
    if (code == ERROR_NONE)
        code = range_list_run(&list, error);
    range_list_clear(&list);
    return code;
}
