#include "assembly.h"

#include <assert.h>
#include <string.h>

static enum error_code take_first(struct assembly *assembly, const struct frame *frame,
                                  size_t message_bytes_max, struct assembled *assembled,
                                  struct error *error)
{
    bool is_last = (frame->flags & FRAME_LAST) != 0;
    if (assembly->whole != NULL)
        return error_set(error, ERROR_CORRUPT, "message: begins within another");
    if (frame->message_bytes > message_bytes_max)
        return error_set(error, ERROR_LIMIT, "message: %u bytes", frame->message_bytes);
    if (is_last != (frame->payload_bytes == frame->message_bytes) ||
        frame->payload_bytes > frame->message_bytes)
        return error_set(error, ERROR_CORRUPT, "message: %u bytes of %u in its first frame",
                         frame->payload_bytes, frame->message_bytes);
    if (is_last) {
        *assembled = (struct assembled){
            .is_complete = true, .bytes = frame->payload, .size = frame->payload_bytes};
        return ERROR_NONE;
    }
    assembly->whole = shared_bytes_create(frame->message_bytes);
    if (assembly->whole == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "message: %u bytes", frame->message_bytes);
    memcpy(assembly->whole->bytes, frame->payload, frame->payload_bytes);
    assembly->received = frame->payload_bytes;
    assembly->type = frame->type;
    assembly->id = frame->id;
    assembly->kind = frame->kind;
    *assembled = (struct assembled){0};
    return ERROR_NONE;
}

enum error_code assembly_take(struct assembly *assembly, const struct frame *frame,
                              size_t message_bytes_max, struct assembled *assembled_out,
                              struct error *error)
{
    if ((frame->flags & FRAME_FIRST) != 0)
        return take_first(assembly, frame, message_bytes_max, assembled_out, error);
    struct shared_bytes *whole = assembly->whole;
    if (whole == NULL || assembly->type != frame->type || assembly->id != frame->id ||
        assembly->kind != frame->kind || frame->payload_bytes == 0)
        return error_set(error, ERROR_CORRUPT, "message: goes on without a beginning");
    size_t left = whole->size - assembly->received;
    bool is_last = (frame->flags & FRAME_LAST) != 0;
    if (frame->payload_bytes > left || is_last != (frame->payload_bytes == left))
        return error_set(error, ERROR_CORRUPT, "message: %u bytes where %zu are left",
                         frame->payload_bytes, left);
    memcpy(whole->bytes + assembly->received, frame->payload, frame->payload_bytes);
    assembly->received += frame->payload_bytes;
    *assembled_out = (struct assembled){0};
    if (is_last) {
        assert(assembly->received == whole->size);
        *assembled_out = (struct assembled){
            .is_complete = true, .bytes = whole->bytes, .size = whole->size, .whole = whole};
        assembly->whole = NULL;
    }
    return ERROR_NONE;
}

void assembly_clear(struct assembly *assembly)
{
    shared_bytes_unref(assembly->whole);
    *assembly = (struct assembly){0};
}
