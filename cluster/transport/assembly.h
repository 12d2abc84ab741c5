/*
 * assembly - messages put together from frames: one a class is open at a time, as the sender cuts
 * one after the other.
 *
 * A message of one frame stays where it is. Memory is taken as the first frame says, within the
 * limit, and filled as frames come.
 */
#ifndef TRANSPORT_ASSEMBLY_H
#define TRANSPORT_ASSEMBLY_H

#include "frame.h"

struct assembly {
    struct shared_bytes *whole; /* NULL: none is open */
    size_t received;
    enum frame_type type;
    uint64_t id;
    uint16_t kind;
};

struct assembled {
    bool is_complete;
    const uint8_t *bytes;
    size_t size;
    struct shared_bytes *whole; /* a reference that is the caller's; NULL: in the frame */
};

/*
 * Take a frame of a message or request.
 * Errors: CORRUPT (not the next one), LIMIT, OUT_OF_MEMORY.
 */
enum error_code assembly_take(struct assembly *assembly, const struct frame *frame,
                              size_t message_bytes_max, struct assembled *assembled_out,
                              struct error *error);

void assembly_clear(struct assembly *assembly);

#endif
