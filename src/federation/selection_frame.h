/* Frames of an answer: type (1), size of the payload (4), payload. */
#ifndef FEDERATION_SELECTION_FRAME_H
#define FEDERATION_SELECTION_FRAME_H

enum selection_frame {
    SELECTION_FRAME_DATA = 1, /* records */
    SELECTION_FRAME_END = 2,  /* flags (1); the last */
};

enum selection_end_flag {
    SELECTION_END_TRUNCATED = 1,
    SELECTION_END_DAMAGED = 2,
};

#endif
