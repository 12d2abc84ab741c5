#include "shard/bucket_claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void bucket_owner_format(const uint8_t owner[BUCKET_OWNER_BYTES],
                         char text[2 * BUCKET_OWNER_BYTES + 1])
{
    for (size_t i = 0; i < BUCKET_OWNER_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", owner[i]);
}

void bucket_claim_encode(const struct bucket_claim *claim, struct byte_buffer *buffer)
{
    char owner[2 * BUCKET_OWNER_BYTES + 1], line[128];
    bucket_owner_format(claim->owner, owner);
    int size = snprintf(line, sizeof line, "gnomon 1\ncluster %s\nincarnation %" PRIu64 "\n", owner,
                        claim->incarnation);
    byte_buffer_append(buffer, line, (size_t)size);
    if (!claim->was_recovered)
        return;
    bucket_owner_format(claim->former, owner);
    size = snprintf(line, sizeof line, "recovered %s\n", owner);
    byte_buffer_append(buffer, line, (size_t)size);
}

static bool take_line(struct text *rest, struct text name, struct text *value_out)
{
    struct text line, key;
    return text_split(*rest, '\n', &line, rest) && text_split(line, ' ', &key, value_out) &&
           text_equal(key, name);
}

static int digit_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool take_owner(struct text digits, uint8_t owner[BUCKET_OWNER_BYTES])
{
    if (digits.size != 2 * BUCKET_OWNER_BYTES)
        return false;
    for (size_t i = 0; i < BUCKET_OWNER_BYTES; i++) {
        int high = digit_of(digits.data[2 * i]), low = digit_of(digits.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        owner[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The last line, which only claims of recovered clusters have. */
static bool take_former(struct text *rest, struct bucket_claim *claim)
{
    struct text former;
    claim->was_recovered = rest->size > 0;
    return rest->size == 0 || (take_line(rest, TEXT("recovered"), &former) &&
                               take_owner(former, claim->former) && rest->size == 0);
}

enum error_code bucket_claim_decode(const uint8_t *bytes, size_t size_bytes,
                                    struct bucket_claim *claim_out, struct error *error)
{
    struct text rest = {(const char *)bytes, size_bytes}, format, owner, incarnation;
    struct bucket_claim claim = {0};
    if (!take_line(&rest, TEXT("gnomon"), &format) || !take_line(&rest, TEXT("cluster"), &owner) ||
        !take_line(&rest, TEXT("incarnation"), &incarnation) || !take_former(&rest, &claim) ||
        !text_equal(format, TEXT("1")) || !take_owner(owner, claim.owner) ||
        !text_to_uint64(incarnation, &claim.incarnation) || claim.incarnation == 0)
        return error_set(error, ERROR_CORRUPT,
                         "the object 'cluster' of the bucket is not one that Gnomon wrote");
    *claim_out = claim;
    return ERROR_NONE;
}
