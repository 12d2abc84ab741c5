/*
 * spare_pieces - what pools give to and take from head_spares. Private to head.
 */
#ifndef HEAD_SPARE_PIECES_H
#define HEAD_SPARE_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "head/head_spares.h"

/* All pieces that are kept have this size, and are aligned to it: that of a huge page. */
enum { SPARE_PIECE_BYTES = 2 * 1024 * 1024 };

/* A mapped piece with any content; NULL when there is none. `spares` may be NULL. */
void *spare_piece_take(struct head_spares *spares);

/* False: it is not kept, the caller unmaps it. `spares` may be NULL. */
bool spare_piece_give(struct head_spares *spares, void *piece);

#endif
