/*
 * tenant - the names of tenants, as X-Scope-OrgID carries them.
 */
#ifndef MODEL_TENANT_H
#define MODEL_TENANT_H

#include <stdbool.h>

#include "base/text.h"

/* The characters that Mimir allows, so that tenants can move here; at most TENANT_ID_BYTES_MAX. */
bool tenant_id_is_valid(struct text tenant);

#endif
