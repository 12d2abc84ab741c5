/*
 * block_file - what an open block consists of. Private to block.
 */
#ifndef BLOCK_BLOCK_FILE_H
#define BLOCK_BLOCK_FILE_H

#include <stdatomic.h>

#include "block/block_reader.h"
#include "label_index.h"
#include "page_file.h"
#include "sample_reader.h"
#include "tenant_list.h"

struct block_opening;

struct block {
    atomic_size_t references;
    struct page_file file;
    struct block_properties properties;
    struct tenant_list tenants;
    struct label_index index;
    struct sample_store samples;
    struct table marks;      /* of the order */
    struct error unreadable; /* why nothing of it can be read; no error: it can */
    /* Owned: of a block that is opened later, which has nothing else but its index's address. NULL:
     * it is open. */
    struct block_opening *opening;
};

#endif
