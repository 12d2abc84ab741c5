/* A request for a range of a file, and the head of an answer: what is understood is written again
 * as it was, but for what its flags leave out. */
#include <stdlib.h>
#include <string.h>

#include "transfer_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct range_request request, again;
    struct file_identity file;
    struct error error;
    uint8_t once[RANGE_REQUEST_BYTES], twice[RANGE_REQUEST_BYTES];
    if (range_request_decode(bytes, size, &request, &error) == ERROR_NONE) {
        range_request_encode(&request, once);
        if (range_request_decode(once, sizeof once, &again, &error) != ERROR_NONE)
            abort();
        range_request_encode(&again, twice);
        if (memcmp(once, twice, sizeof once) != 0)
            abort();
    }
    if (size >= RANGE_HEAD_BYTES && range_head_decode(bytes, &file, &error) == ERROR_NONE) {
        range_head_encode(&file, once);
        if (memcmp(once + 8, bytes + 8, RANGE_HEAD_BYTES - 8) != 0)
            abort();
    }
    return 0;
}
