/*
 * index_format - numbers of the index of a block (tsdb/docs/format/index.md) that its reader and
 * its writer share.
 */
#ifndef TSDB_INDEX_FORMAT_H
#define TSDB_INDEX_FORMAT_H

enum {
    INDEX_MAGIC_BYTES = 4,
    INDEX_HEAD_BYTES = 5,
    INDEX_CONTENTS_BYTES = 6 * 8 + 4, /* places of the sections, and their checksum */
    INDEX_CHECKSUM_BYTES = 4,
    INDEX_SERIES_ALIGNMENT = 16, /* from version 2 on; a reference counts in it */
};
#define INDEX_MAGIC UINT32_C(0xBAAAD700)

/* Order of the places. */
enum index_section {
    INDEX_SYMBOLS,
    INDEX_SERIES,
    INDEX_LABEL_INDICES,
    INDEX_LABEL_OFFSETS,
    INDEX_POSTINGS,
    INDEX_POSTINGS_OFFSETS,
    INDEX_SECTIONS
};

enum { CHUNKS_HEAD_BYTES = 8, CHUNKS_VERSION = 1 };
#define CHUNKS_MAGIC UINT32_C(0x85BD40DD)

#endif
