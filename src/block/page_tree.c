#include "page_tree.h"

#include <assert.h>
#include <stdlib.h>

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
    byte_buffer_u32(&node->offsets, (uint32_t)node->entries.size);
    byte_buffer_varint(&node->entries, ordinal);
    byte_buffer_varint(&node->entries, page.offset_bytes);
    byte_buffer_varint(&node->entries, page.size_bytes);
    byte_buffer_text(&node->entries, key);
    node->entry_count++;
}

static void node_reset(struct tree_node_writer *node)
{
    byte_buffer_reset(&node->entries);
    byte_buffer_reset(&node->offsets);
    byte_buffer_reset(&node->first_key);
    node->entry_count = 0;
}

/* The node's bytes behind what is in `target`. */
static bool node_encode(const struct tree_node_writer *node, struct byte_buffer *target)
{
    byte_buffer_u32(target, (uint32_t)node->entry_count);
    byte_buffer_append(target, node->offsets.bytes, node->offsets.size);
    byte_buffer_append(target, node->entries.bytes, node->entries.size);
    return !(target->failed || node->entries.failed || node->offsets.failed ||
             node->first_key.failed);
}

/* Put a page with a node into the level above. */
static enum error_code node_append(struct tree_writer *writer, unsigned level, struct text key,
                                   uint64_t first_ordinal, const uint8_t *bytes, size_t size,
                                   struct error *error)
{
    assert(level < TREE_HEIGHT_MAX);
    struct page_reference page;
    enum error_code code =
        page_writer_append(writer->pages, PAGE_TREE_NODE, bytes, size, &page, error);
    if (code == ERROR_NONE)
        node_add(&writer->levels[level + 1], key, first_ordinal, page);
    return code;
}

/* Write the open node of `level` and empty it. */
static enum error_code node_write(struct tree_writer *writer, unsigned level, struct error *error)
{
    struct tree_node_writer *node = &writer->levels[level];
    struct byte_buffer bytes = {0};
    struct text first_key = {(const char *)node->first_key.bytes, node->first_key.size};
    enum error_code code = node_encode(node, &bytes)
                               ? node_append(writer, level, first_key, node->first_ordinal,
                                             bytes.bytes, bytes.size, error)
                               : out_of_memory(error);
    byte_buffer_clear(&bytes);
    if (code == ERROR_NONE)
        node_reset(node);
    return code;
}

static bool node_is_full(const struct tree_node_writer *node)
{
    return node->entries.size >= TREE_NODE_BYTES && node->entry_count >= TREE_NODE_ENTRIES_MIN;
}

/* Keep the open node of level 0 until all leaves are written: varint first ordinal | text first
 * key | text node. */
static enum error_code node_close(struct tree_writer *writer, struct error *error)
{
    struct tree_node_writer *node = &writer->levels[0];
    struct byte_buffer bytes = {0};
    bool is_whole = node_encode(node, &bytes);
    byte_buffer_varint(&writer->closed, node->first_ordinal);
    byte_buffer_text(&writer->closed,
                     (struct text){(const char *)node->first_key.bytes, node->first_key.size});
    byte_buffer_text(&writer->closed, (struct text){(const char *)bytes.bytes, bytes.size});
    byte_buffer_clear(&bytes);
    node_reset(node);
    return is_whole && !writer->closed.failed ? ERROR_NONE : out_of_memory(error);
}

enum error_code tree_writer_add(struct tree_writer *writer, struct text first_key,
                                uint64_t entry_count, struct page_reference leaf,
                                struct error *error)
{
    node_add(&writer->levels[0], first_key, writer->ordinal, leaf);
    writer->ordinal += entry_count;
    return node_is_full(&writer->levels[0]) ? node_close(writer, error) : ERROR_NONE;
}

/* The nodes of level 0 that were closed, and above them what that fills. */
static enum error_code write_closed(struct tree_writer *writer, struct error *error)
{
    struct byte_reader reader = byte_reader_over(writer->closed.bytes, writer->closed.size);
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && byte_reader_left(&reader) > 0) {
        uint64_t first_ordinal = byte_reader_varint(&reader);
        struct text key = byte_reader_text(&reader);
        struct text node = byte_reader_text(&reader);
        assert(!reader.failed);
        code = node_append(writer, 0, key, first_ordinal, (const uint8_t *)node.data, node.size,
                           error);
        for (unsigned level = 1; code == ERROR_NONE && level < TREE_HEIGHT_MAX; level++) {
            if (!node_is_full(&writer->levels[level]))
                break;
            code = node_write(writer, level, error);
        }
    }
    return code;
}

static enum error_code write_root(struct tree_writer *writer, unsigned top,
                                  enum toc_section section, struct error *error)
{
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

/* All nodes that are not the root, level by level. */
static enum error_code write_nodes(struct tree_writer *writer, enum toc_section section,
                                   struct error *error)
{
    enum error_code code = write_closed(writer, error);
    if (code != ERROR_NONE)
        return code;
    unsigned top = TREE_HEIGHT_MAX;
    while (top > 0 && writer->levels[top].entry_count == 0)
        top--;
    for (unsigned level = 0; level < top; level++) {
        if (writer->levels[level].entry_count == 0)
            continue;
        code = node_write(writer, level, error);
        if (code != ERROR_NONE)
            return code;
    }
    return write_root(writer, top, section, error);
}

struct late_tree {
    struct late_write late; /* first */
    struct tree_writer tree;
    enum toc_section section;
};

static enum error_code late_tree_write(struct late_write *late, struct error *error)
{
    struct late_tree *self = (struct late_tree *)late;
    return write_nodes(&self->tree, self->section, error);
}

static void late_tree_clear(struct late_write *late)
{
    struct late_tree *self = (struct late_tree *)late;
    tree_writer_clear(&self->tree);
    free(self);
}

enum error_code tree_writer_finish(struct tree_writer *writer, enum toc_section section,
                                   struct error *error)
{
    if (writer->ordinal == 0)
        return ERROR_NONE;
    struct late_tree *late = malloc(sizeof *late);
    if (late == NULL)
        return out_of_memory(error);
    *late =
        (struct late_tree){{.write = late_tree_write, .clear = late_tree_clear}, *writer, section};
    page_writer_defer(writer->pages, &late->late);
    *writer = (struct tree_writer){.pages = late->tree.pages};
    return ERROR_NONE;
}

void tree_writer_clear(struct tree_writer *writer)
{
    byte_buffer_clear(&writer->closed);
    for (unsigned level = 0; level <= TREE_HEIGHT_MAX; level++) {
        byte_buffer_clear(&writer->levels[level].entries);
        byte_buffer_clear(&writer->levels[level].offsets);
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

struct node_entry {
    struct tree_leaf leaf;
    struct text key;
};

/* A node whose entries are found by number. */
struct node {
    size_t count;
    const uint8_t *offsets; /* u32 [count] */
    struct byte_reader entries;
};

static bool node_open(struct byte_reader reader, struct node *node_out)
{
    size_t count = byte_reader_u32(&reader);
    const uint8_t *offsets = byte_reader_take(&reader, 4 * count);
    *node_out = (struct node){.count = count, .offsets = offsets, .entries = reader};
    return offsets != NULL && count > 0;
}

static bool node_entry(const struct node *node, size_t number, struct node_entry *entry_out)
{
    struct byte_reader reader = node->entries;
    if (byte_reader_take(&reader, load_u32(node->offsets + 4 * number)) == NULL)
        return false;
    entry_out->leaf.first_ordinal = byte_reader_varint(&reader);
    entry_out->leaf.page.offset_bytes = byte_reader_varint(&reader);
    uint64_t size_bytes = byte_reader_varint(&reader);
    entry_out->key = byte_reader_text(&reader);
    entry_out->leaf.page.size_bytes = (uint32_t)size_bytes;
    return !reader.failed && size_bytes <= UINT32_MAX;
}

static bool is_behind(const struct node_entry *entry, const struct target *target)
{
    return target->by_ordinal ? entry->leaf.first_ordinal > target->ordinal
                              : text_compare(entry->key, target->key) > 0;
}

/* The last entry that is not behind the target; *found_out is false when all are. It ends where the
 * next one begins, if there is one. False: not a node. */
static bool node_search(const struct node *node, const struct target *target,
                        struct tree_leaf *leaf_out, bool *found_out)
{
    size_t low = 0;
    size_t high = node->count;
    uint64_t end_ordinal = leaf_out->end_ordinal;
    *found_out = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct node_entry entry;
        if (!node_entry(node, middle, &entry))
            return false;
        if (is_behind(&entry, target)) {
            high = middle;
            end_ordinal = entry.leaf.first_ordinal;
        } else {
            low = middle + 1;
            *leaf_out = entry.leaf;
            *found_out = true;
        }
    }
    leaf_out->end_ordinal = end_ordinal;
    return true;
}

static enum error_code descend(const struct tree *tree, const struct target *target,
                               struct tree_leaf *leaf_out, bool *found_out, struct error *error)
{
    struct byte_reader reader = tree->root;
    struct page_pin pin = {0};
    struct tree_leaf entry = {.end_ordinal = tree->entry_count};
    enum error_code code = ERROR_NONE;
    bool found = false;
    for (unsigned level = tree->height;; level--) {
        struct node node;
        if (!node_open(reader, &node) || !node_search(&node, target, &entry, &found)) {
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
