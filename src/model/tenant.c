#include "model/tenant.h"

#include <string.h>

#include "base/limits.h"

bool tenant_id_is_valid(struct text tenant)
{
    if (tenant.size == 0 || tenant.size > TENANT_ID_BYTES_MAX || text_equal(tenant, TEXT(".")) ||
        text_equal(tenant, TEXT("..")))
        return false;
    for (size_t i = 0; i < tenant.size; i++) {
        char c = tenant.data[i];
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || strchr("!-_.*'()", c) == NULL))
            return false;
    }
    return true;
}
