/* Whose a bucket is: what is understood is written and read alike. */
#include <stdlib.h>
#include <string.h>

#include "shard/bucket_claim.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct bucket_claim claim, again;
    struct byte_buffer buffer = {0};
    struct error error;
    if (bucket_claim_decode(bytes, size, &claim, &error) != ERROR_NONE)
        return 0;
    bucket_claim_encode(&claim, &buffer);
    if (!buffer.failed &&
        (bucket_claim_decode(buffer.bytes, buffer.size, &again, &error) != ERROR_NONE ||
         memcmp(claim.owner, again.owner, sizeof claim.owner) != 0 ||
         claim.incarnation != again.incarnation || claim.was_recovered != again.was_recovered ||
         memcmp(claim.former, again.former, sizeof claim.former) != 0))
        abort();
    byte_buffer_clear(&buffer);
    return 0;
}
