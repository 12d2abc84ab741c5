#include "page_tree.h"

#include <assert.h>

#include "front_coding.h"

/* --- Writing ---------------------------------------------------------------------------------- */

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "page tree");
}

static void node_add(struct tree_node_writer *node, struct text key, uint64_t ordinal,
                     struct page_reference page)
{
    if (node->entry_count == 0) {
        byte_buffer_append(&node->first_key, key.data, key.size);
        node->first_ordinal = ordinal;
    }
    front_coding_append(&node->entries, &node->previous_key, key);
    byte_buffer_varint(&node->entries, ordinal - node->previous_ordinal);
    byte_buffer_zigzag(&node->entries, (int64_t)(page.offset_bytes - node->previous_end_bytes));
    byte_buffer_varint(&node->entries, page.size_bytes);
    node->previous_ordinal = ordinal;
    node->previous_end_bytes = page.offset_bytes + page.size_bytes;
    node->entry_count++;
}

static void node_reset(struct tree_node_writer *node)
{
    byte_buffer_reset(&node->entries);
    byte_buffer_reset(&node->previous_key);
    byte_buffer_reset(&node->first_key);
    node->entry_count = 0;
    node->previous_ordinal = 0;
    node->previous_end_bytes = 0;
}

/* The node's bytes behind what is in `target`. */
static bool node_encode(const struct tree_node_writer *node, struct byte_buffer *target)
{
    byte_buffer_varint(target, node->entry_count);
    byte_buffer_append(target, node->entries.bytes, node->entries.size);
    return !(target->failed || node->entries.failed || node->first_key.failed);
}

/* Write the node of `level` as a page, put it into the level above and empty it. */
static enum error_code node_write(struct tree_writer *writer, unsigned level, struct error *error)
{
    assert(level < TREE_HEIGHT_MAX);
    struct tree_node_writer *node = &writer->levels[level];
    struct byte_buffer bytes = {0};
    struct page_reference page;
    enum error_code code = node_encode(node, &bytes)
                               ? page_writer_append(writer->pages, PAGE_TREE_NODE, bytes.bytes,
                                                    bytes.size, &page, error)
                               : out_of_memory(error);
    byte_buffer_clear(&bytes);
    if (code != ERROR_NONE)
        return code;
    struct text first_key = {(const char *)node->first_key.bytes, node->first_key.size};
    node_add(&writer->levels[level + 1], first_key, node->first_ordinal, page);
    node_reset(node);
    return ERROR_NONE;
}

enum error_code tree_writer_add(struct tree_writer *writer, struct text first_key,
                                uint64_t entry_count, struct page_reference leaf,
                                struct error *error)
{
    node_add(&writer->levels[0], first_key, writer->ordinal, leaf);
    writer->ordinal += entry_count;
    for (unsigned level = 0; level < TREE_HEIGHT_MAX; level++) {
        struct tree_node_writer *node = &writer->levels[level];
        /* A node of one entry would not make the tree narrower, however long its key. */
        if (node->entries.size < TREE_NODE_BYTES || node->entry_count < 2)
            break;
        enum error_code code = node_write(writer, level, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code tree_writer_finish(struct tree_writer *writer, enum toc_section section,
                                   struct error *error)
{
    if (writer->ordinal == 0)
        return ERROR_NONE;
    unsigned top = TREE_HEIGHT_MAX;
    while (top > 0 && writer->levels[top].entry_count == 0)
        top--;
    for (unsigned level = 0; level < top; level++) {
        if (writer->levels[level].entry_count == 0)
            continue;
        enum error_code code = node_write(writer, level, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct byte_buffer root = {0};
    byte_buffer_varint(&root, top);
    byte_buffer_varint(&root, writer->ordinal);
    enum error_code code =
        node_encode(&writer->levels[top], &root)
            ? page_writer_section(writer->pages, section, root.bytes, root.size, error)
            : out_of_memory(error);
    byte_buffer_clear(&root);
    return code;
}

void tree_writer_clear(struct tree_writer *writer)
{
    for (unsigned level = 0; level <= TREE_HEIGHT_MAX; level++) {
        byte_buffer_clear(&writer->levels[level].entries);
        byte_buffer_clear(&writer->levels[level].previous_key);
        byte_buffer_clear(&writer->levels[level].first_key);
    }
}

/* --- Reading ---------------------------------------------------------------------------------- */

enum error_code tree_open(struct tree *tree, const struct page_file *file, enum toc_section section,
                          struct error *error)
{
    *tree = (struct tree){.file = file, .root = page_file_section(file, section)};
    if (byte_reader_left(&tree->root) == 0)
        return ERROR_NONE;
    uint64_t height = byte_reader_varint(&tree->root);
    tree->entry_count = byte_reader_varint(&tree->root);
    if (tree->root.failed || height > TREE_HEIGHT_MAX)
        return page_file_corrupt(file, "root of a tree", error);
    tree->height = (unsigned)height;
    return ERROR_NONE;
}

/* What is looked for: a key, or an ordinal when `by_ordinal`. */
struct target {
    bool by_ordinal;
    struct text key;
    uint64_t ordinal;
};

/* The last entry of the node that is not behind the target. False: none, or (reader failed) not a
 * node. */
static bool node_search(struct byte_reader *reader, const struct target *target,
                        struct tree_leaf *entry_out)
{
    uint64_t count = byte_reader_varint(reader);
    struct front_search search = front_search_begin(target->key);
    uint64_t ordinal = 0;
    uint64_t end_bytes = 0;
    bool found = false;
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        bool is_before = true;
        if (target->by_ordinal) {
            byte_reader_varint(reader);
            byte_reader_text(reader);
        } else {
            is_before = front_search_next(&search, reader);
        }
        ordinal += byte_reader_varint(reader);
        uint64_t offset_bytes = end_bytes + (uint64_t)byte_reader_zigzag(reader);
        uint64_t size_bytes = byte_reader_varint(reader);
        if (target->by_ordinal)
            is_before = ordinal <= target->ordinal;
        if (size_bytes > UINT32_MAX)
            reader->failed = true;
        if (!is_before || reader->failed)
            break;
        *entry_out = (struct tree_leaf){.page = {offset_bytes, (uint32_t)size_bytes},
                                        .first_ordinal = ordinal};
        end_bytes = offset_bytes + size_bytes;
        found = true;
    }
    return found && !reader->failed;
}

static enum error_code descend(const struct tree *tree, const struct target *target,
                               struct tree_leaf *leaf_out, bool *found_out, struct error *error)
{
    struct byte_reader reader = tree->root;
    struct page_pin pin = {0};
    struct tree_leaf entry = {0};
    enum error_code code = ERROR_NONE;
    bool found = false;
    for (unsigned level = tree->height;; level--) {
        found = node_search(&reader, target, &entry);
        if (reader.failed) {
            code = page_file_corrupt(tree->file, "node of a tree", error);
            break;
        }
        if (!found || level == 0)
            break;
        page_unpin(&pin);
        code = page_file_pin(tree->file, entry.page, PAGE_TREE_NODE, &pin, error);
        if (code != ERROR_NONE)
            break;
        reader = byte_reader_over(pin.bytes, pin.size);
    }
    page_unpin(&pin);
    if (code != ERROR_NONE)
        return code;
    if (found)
        *leaf_out = entry;
    *found_out = found;
    return ERROR_NONE;
}

enum error_code tree_find_key(const struct tree *tree, struct text key, struct tree_leaf *leaf_out,
                              bool *found_out, struct error *error)
{
    *found_out = false;
    if (tree->entry_count == 0)
        return ERROR_NONE;
    struct target target = {.key = key};
    return descend(tree, &target, leaf_out, found_out, error);
}

enum error_code tree_find_ordinal(const struct tree *tree, uint64_t ordinal,
                                  struct tree_leaf *leaf_out, struct error *error)
{
    assert(ordinal < tree->entry_count);
    struct target target = {.by_ordinal = true, .ordinal = ordinal};
    bool found = false;
    enum error_code code = descend(tree, &target, leaf_out, &found, error);
    if (code == ERROR_NONE && !found)
        return page_file_corrupt(tree->file, "tree without its first entry", error);
    return code;
}
