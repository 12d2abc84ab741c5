/* Points of backups: what is understood is written and read alike. */
#include <stdlib.h>
#include <string.h>

#include "backup/backup_point.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct backup_point point;
    struct byte_buffer buffer = {0};
    struct error error;
    if (backup_point_decode(bytes, size, &point, &error) != ERROR_NONE)
        return 0;
    backup_point_encode(&point, &buffer);
    if (!buffer.failed && (buffer.size != size || memcmp(buffer.bytes, bytes, size) != 0))
        abort();
    byte_buffer_clear(&buffer);
    backup_point_clear(&point);
    return 0;
}
