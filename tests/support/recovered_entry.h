/*
 * recovered_entry - one entry of a recovery, for tests that look at few.
 */
#ifndef TEST_RECOVERED_ENTRY_H
#define TEST_RECOVERED_ENTRY_H

#include <string.h>

#include "journal/journal.h"

struct recovered_entry {
    struct journal_entry entry;
    uint8_t payload[JOURNAL_PAYLOAD_BYTES_MAX];
};

static inline enum error_code
recovered_entry_visit(void *context, const struct journal_entry *entry, struct error *error)
{
    struct recovered_entry *recovered = context;
    (void)error;
    recovered->entry = *entry;
    recovered->entry.payload = recovered->payload;
    if (entry->payload_bytes > 0)
        memcpy(recovered->payload, entry->payload, entry->payload_bytes);
    return ERROR_NONE;
}

/* The payload stays until the next call. An entry that cannot be read has index 0. */
static inline struct journal_entry recovered_entry(const struct journal_recovery *recovery,
                                                   const struct journal_group *group,
                                                   uint64_t index)
{
    static struct recovered_entry recovered;
    struct error error;
    recovered.entry = (struct journal_entry){.payload = recovered.payload};
    (void)journal_recovery_read(recovery, group, index, index + 1, recovered_entry_visit,
                                &recovered, &error); /* index 0 says that it failed */
    return recovered.entry;
}

#endif
