/*
 * inspect_footer - the footer of any file, before it is known what the rest is. Private to block.
 */
#ifndef BLOCK_INSPECT_FOOTER_H
#define BLOCK_INSPECT_FOOTER_H

#include "base/error.h"
#include "block/page_source.h"
#include "page_format.h"

/* Errors: CORRUPT, UNSUPPORTED, IO. */
enum error_code inspect_read_footer(struct page_source *source, struct file_footer *footer_out,
                                    struct error *error);

#endif
