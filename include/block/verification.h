/*
 * verification - reading all of a file piece by piece: the checksum of every page, the hash of its
 * bytes, and the content, decoded and compared with the content checksum.
 *
 * What follows on another may run on another thread. block_verify does it at once.
 */
#ifndef BLOCK_VERIFICATION_H
#define BLOCK_VERIFICATION_H

#include "base/error.h"
#include "block/file_summary.h"
#include "block/page_source.h"

struct verification;

/* Takes over `source`, also on an error. Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code verification_create(struct page_source *source,
                                    struct verification **verification_out, struct error *error);

/*
 * Go on by about `size_bytes` of the file, at least by a page or a series; then look whether it is
 * done. Not after an error: CORRUPT with the first thing that is wrong, UNSUPPORTED, IO,
 * OUT_OF_MEMORY.
 */
enum error_code verification_continue(struct verification *verification, uint64_t size_bytes,
                                      struct error *error);

bool verification_is_done(const struct verification *verification);

/* How much of the file is done with, rising to its size. */
uint64_t verification_done_bytes(const struct verification *verification);

/* Once it is done. */
struct file_summary verification_summary(const struct verification *verification);

/* NULL is fine. */
void verification_destroy(struct verification *verification);

#endif
