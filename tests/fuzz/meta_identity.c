/* What a node has stored of itself. The first byte chooses whether the checksum is made right
 * first, so that the parser behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include "../../cluster/meta/message.h"
#include "base/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct stored_identity stored;
    struct byte_buffer input = {0}, again = {0};
    struct error error;
    if (size == 0)
        return 0;
    byte_buffer_append(&input, bytes + 1, size - 1);
    if (bytes[0] == 1 && input.size >= 4)
        store_u32(input.bytes + input.size - 4, crc32c(0, input.bytes, input.size - 4));
    if (input.size > 0 &&
        stored_identity_decode(input.bytes, input.size, &stored, &error) == ERROR_NONE) {
        stored_identity_encode(&stored, &again);
        if (stored_identity_decode(again.bytes, again.size, &stored, &error) != ERROR_NONE)
            abort();
    }
    byte_buffer_clear(&input);
    byte_buffer_clear(&again);
    return 0;
}
