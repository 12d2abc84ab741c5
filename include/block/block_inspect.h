/*
 * block_inspect - look into any file of this module: `gnomon block inspect|verify`.
 */
#ifndef BLOCK_BLOCK_INSPECT_H
#define BLOCK_BLOCK_INSPECT_H

#include <stdio.h>

#include "base/error.h"
#include "block/file_summary.h"
#include "block/page_cache.h"
#include "block/page_source.h"

/* Print what footer and table of contents say, one `name: value` a line. Takes over `source`.
 * Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code block_inspect(struct page_source *source, FILE *output, struct error *error);

/* What the footer says. The source stays the caller's. Errors: CORRUPT, UNSUPPORTED, IO. */
enum error_code block_read_summary(struct page_source *source, struct file_summary *summary_out,
                                   struct error *error);

/*
 * Read all of the file: the hash of its bytes, the checksum of every page, and the content, decoded
 * and compared with the content checksum. Takes over `source`. Errors: CORRUPT with the first thing
 * that is wrong, UNSUPPORTED, IO, OUT_OF_MEMORY.
 */
enum error_code block_verify(struct page_source *source, struct file_summary *summary_out,
                             struct error *error);

#endif
