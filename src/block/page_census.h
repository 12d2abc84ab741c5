/*
 * page_census - what each kind of page takes of a file, for who asks where the bytes go.
 */
#ifndef BLOCK_PAGE_CENSUS_H
#define BLOCK_PAGE_CENSUS_H

#include <stdio.h>

#include "base/error.h"
#include "block/page_source.h"

/*
 * Walk the heads of all pages, which follow each other without gaps, and print a line for each
 * kind: its pages, and their bytes as they are stored (with head) and raw. Checksums are not
 * looked at. Errors: CORRUPT (no page where one should begin), IO.
 */
enum error_code page_census_print(struct page_source *source, FILE *output, struct error *error);

#endif
