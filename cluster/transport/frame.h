/*
 * frame - the bytes of frames and of what is inside those of the transport itself.
 *
 * Byte layout: docs/protocols/transport.md. Pure: bytes in, values out.
 */
#ifndef TRANSPORT_FRAME_H
#define TRANSPORT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/transport.h"

enum {
    FRAME_HEADER_BYTES = 28,
    FRAME_PAYLOAD_BYTES_MAX = TRANSPORT_FRAME_BYTES_MAX,
    FRAME_BYTES_MAX = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX,
};

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_REFUSED,
    FRAME_PING,
    FRAME_PONG,
    FRAME_MESSAGE,
    FRAME_REQUEST,
    FRAME_PIECE,
    FRAME_END,
    FRAME_CREDIT,
    FRAME_CANCEL,
    FRAME_GOODBYE,
    FRAME_IDENTITY,
    FRAME_TYPES
};

enum {
    FRAME_FIRST = 1, /* of a message or request */
    FRAME_LAST = 2,
};

struct frame {
    enum frame_type type;
    enum transport_class class;
    uint16_t flags;
    uint16_t kind;
    uint64_t id;            /* channel, or number of the request */
    uint32_t message_bytes; /* of the whole message; 0 but in its first frame */
    const uint8_t *payload;
    uint32_t payload_bytes;
};

/* The header of `frame`, whose payload is in `parts`, [part_count], one after the other. */
struct frame_part {
    const uint8_t *bytes;
    size_t size;
};
void frame_encode(const struct frame *frame, const struct frame_part *parts, size_t part_count,
                  uint8_t header[FRAME_HEADER_BYTES]);

/*
 * The frame at the start of `bytes`, which its payload points into. *size_out is 0 when more bytes
 * are needed.
 * Errors: CORRUPT (checksum), LIMIT (length), UNSUPPORTED (type, class, flags).
 */
enum error_code frame_decode(const uint8_t *bytes, size_t size, struct frame *frame_out,
                             size_t *size_out, struct error *error);

/* --- Hello --------------------------------------------------------------------------------- */

enum { TRANSPORT_VERSION_MIN = 1, TRANSPORT_VERSION_MAX = 1 };

/* What this build does beyond the first version; a frame that needs one is sent only to who has it
 * as well. */
#define TRANSPORT_FEATURES UINT64_C(0)

enum connection_kind { CONNECTION_MAIN, CONNECTION_BULK };

struct hello {
    uint16_t version_min, version_max;
    uint64_t features;
    struct transport_identity identity;
    uint64_t incarnation;
    uint16_t lane;
    uint16_t lane_count;
    enum connection_kind kind;
    struct text name;          /* of who speaks */
    struct text expected_name; /* of whom it thinks to speak to; empty: anybody */
    struct text address;       /* where it listens; may be empty */
};

enum { HELLO_BYTES_MAX = 72 + 3 + 2 * TRANSPORT_NAME_BYTES_MAX + TRANSPORT_ADDRESS_BYTES_MAX };

/* Returns the size. */
size_t hello_encode(const struct hello *hello, uint8_t target[HELLO_BYTES_MAX]);

/* Texts point into `bytes`. What a newer version appends is not read.
 * Errors: INVALID (not ours), CORRUPT (lengths, names). */
enum error_code hello_decode(const uint8_t *bytes, size_t size, struct hello *hello_out,
                             struct error *error);

bool transport_name_is_valid(struct text name);

/* --- Refusals ------------------------------------------------------------------------------ */

enum refusal {
    REFUSED_VERSION = 1,
    REFUSED_CLUSTER,
    REFUSED_NAME,    /* another node is expected */
    REFUSED_UNKNOWN, /* nobody told us of it */
    REFUSED_SELF,
    REFUSED_LANE,
    REFUSED_DUPLICATE, /* there is a connection already: nothing is wrong */
    REFUSED_LEAVING,
    REFUSED_PROTOCOL,
};

enum { REFUSAL_TEXT_BYTES_MAX = 512, REFUSAL_BYTES_MAX = 2 + REFUSAL_TEXT_BYTES_MAX };

/* Returns the size. */
size_t refusal_encode(enum refusal reason, struct text text, uint8_t target[REFUSAL_BYTES_MAX]);

/* Errors: CORRUPT. A reason that this build does not know is PROTOCOL. */
enum error_code refusal_decode(const uint8_t *bytes, size_t size, enum refusal *reason_out,
                               struct text *text_out, struct error *error);

/* --- Requests ------------------------------------------------------------------------------ */

enum { REQUEST_HEAD_BYTES = 16 };

struct request_head {
    uint64_t timeout_ms;
    uint32_t window_bytes;
};

void request_head_encode(const struct request_head *head, uint8_t target[REQUEST_HEAD_BYTES]);

/* Errors: CORRUPT. */
enum error_code request_head_decode(const uint8_t *bytes, size_t size,
                                    struct request_head *head_out, struct error *error);

enum { END_BYTES_MAX = 2 + ERROR_MESSAGE_MAX };

/* Returns the size. */
size_t end_encode(const struct error *end, uint8_t target[END_BYTES_MAX]);

/* What a build does not know is UNAVAILABLE. Errors: CORRUPT. */
enum error_code end_decode(const uint8_t *bytes, size_t size, struct error *end_out,
                           struct error *error);

#endif
