#include "node_identity.h"

#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "platform/random.h"

#include "program_version.h"
#include "stored_file.h"

enum { ID_DIGITS = 2 * CLUSTER_DIRECTORY_ID_BYTES, CONTENT_BYTES_MAX = 128 };

/* The id and the checksum of its line. */
static size_t format_id(const uint8_t id[CLUSTER_DIRECTORY_ID_BYTES],
                        char content[CONTENT_BYTES_MAX])
{
    size_t size = (size_t)snprintf(content, CONTENT_BYTES_MAX, "directory ");
    for (size_t i = 0; i < CLUSTER_DIRECTORY_ID_BYTES; i++)
        size += (size_t)snprintf(content + size, CONTENT_BYTES_MAX - size, "%02x", id[i]);
    size += (size_t)snprintf(content + size, CONTENT_BYTES_MAX - size, "\n");
    uint32_t checksum = crc32c(0, content, size);
    return size +
           (size_t)snprintf(content + size, CONTENT_BYTES_MAX - size, "checksum %08x\n", checksum);
}

static enum error_code parse_id(const struct byte_buffer *content,
                                uint8_t id_out[CLUSTER_DIRECTORY_ID_BYTES], struct error *error)
{
    char expected[CONTENT_BYTES_MAX];
    unsigned digits[CLUSTER_DIRECTORY_ID_BYTES];
    const char *text = (const char *)content->bytes + strlen("directory ");
    bool sound = content->size > strlen("directory ") + ID_DIGITS;
    for (size_t i = 0; sound && i < CLUSTER_DIRECTORY_ID_BYTES; i++) {
        sound = sscanf(text + 2 * i, "%2x", &digits[i]) == 1;
        id_out[i] = (uint8_t)digits[i];
    }
    if (sound && format_id(id_out, expected) == content->size &&
        memcmp(expected, content->bytes, content->size) == 0)
        return ERROR_NONE;
    return error_set(error, ERROR_CORRUPT,
                     "the file 'node' of the data directory is not as it was written: restore it, "
                     "or start with an empty directory, which joins anew");
}

enum error_code node_identity_directory(const char *directory,
                                        uint8_t id_out[CLUSTER_DIRECTORY_ID_BYTES],
                                        struct error *error)
{
    struct byte_buffer content = {0};
    enum error_code code = stored_file_read(directory, "node", &content, error);
    if (code == ERROR_NONE) {
        byte_buffer_u8(&content, 0);
        content.size--;
        code = content.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "identity")
                              : parse_id(&content, id_out, error);
    } else if (code == ERROR_NOT_FOUND) {
        char text[CONTENT_BYTES_MAX];
        for (size_t i = 0; i < CLUSTER_DIRECTORY_ID_BYTES; i += 8) {
            uint64_t random = random_next(random_system());
            memcpy(id_out + i, &random, 8);
        }
        code = stored_file_write(directory, "node", text, format_id(id_out, text), error);
    }
    byte_buffer_clear(&content);
    return code;
}

enum error_code node_identity_read(const char *directory, struct byte_buffer *bytes,
                                   struct error *error)
{
    enum error_code code = stored_file_read(directory, "identity", bytes, error);
    if (code != ERROR_NOT_FOUND)
        return code;
    error_clear(error);
    return ERROR_NONE;
}

enum error_code node_identity_write(const char *directory, const uint8_t *bytes, size_t size_bytes,
                                    struct error *error)
{
    return stored_file_write(directory, "identity", bytes, size_bytes, error);
}

enum error_code node_identity_exists(const char *directory, bool *exists_out, struct error *error)
{
    struct byte_buffer bytes = {0};
    enum error_code code = node_identity_read(directory, &bytes, error);
    *exists_out = bytes.size > 0;
    byte_buffer_clear(&bytes);
    return code;
}

/* --- The state that was known last ----------------------------------------------------------- */

enum { STATE_CHECKSUM_BYTES = 4 };

enum error_code node_identity_remember(const char *directory, const struct byte_buffer *state,
                                       struct error *error)
{
    struct byte_buffer content = {0};
    byte_buffer_u32(&content, crc32c(0, state->bytes, state->size));
    byte_buffer_append(&content, state->bytes, state->size);
    enum error_code code =
        content.failed
            ? error_set(error, ERROR_OUT_OF_MEMORY, "state of the cluster")
            : stored_file_write(directory, "cluster", content.bytes, content.size, error);
    byte_buffer_clear(&content);
    return code;
}

enum error_code node_identity_recall(const char *directory, struct cluster_state **state_out,
                                     struct error *error)
{
    struct byte_buffer content = {0};
    struct cluster_state *state = NULL;
    enum error_code code = stored_file_read(directory, "cluster", &content, error);
    if (code == ERROR_NONE && content.size > STATE_CHECKSUM_BYTES) {
        struct byte_reader reader = byte_reader_over(content.bytes, content.size);
        const uint8_t *bytes = content.bytes + STATE_CHECKSUM_BYTES;
        size_t size = content.size - STATE_CHECKSUM_BYTES;
        struct error ignored = {0}; /* it is but a help */
        if (byte_reader_u32(&reader) != crc32c(0, bytes, size) ||
            cluster_state_decode(bytes, size, PROGRAM_STATE_VERSION_MAX, &state, &ignored) !=
                ERROR_NONE)
            state = NULL;
        if (ignored.code == ERROR_UNSUPPORTED) /* what else is stored would say the same */
            *error = ignored;
        if (ignored.code == ERROR_UNSUPPORTED)
            code = ERROR_UNSUPPORTED;
    }
    byte_buffer_clear(&content);
    if (code != ERROR_NONE && code != ERROR_NOT_FOUND)
        return code;
    *state_out = state;
    return ERROR_NONE;
}
