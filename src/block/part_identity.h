/*
 * part_identity - what identifies a series of a part in the content checksum.
 *
 *   u64 id | u16 slot | tenant
 */
#ifndef BLOCK_PART_IDENTITY_H
#define BLOCK_PART_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/text.h"

struct part_identity {
    uint8_t bytes[10 + TENANT_ID_BYTES_MAX];
    size_t size;
};

static inline struct part_identity part_identity(uint64_t id, struct text tenant, uint16_t slot)
{
    struct part_identity identity = {.size = 10 + tenant.size};
    store_u64(identity.bytes, id);
    store_u16(identity.bytes + 8, slot);
    if (tenant.size > 0)
        memcpy(identity.bytes + 10, tenant.data, tenant.size);
    return identity;
}

static inline struct text part_identity_text(const struct part_identity *identity)
{
    return (struct text){(const char *)identity->bytes, identity->size};
}

#endif
