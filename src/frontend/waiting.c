#include "waiting.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/frontend.h"

/* --- Tenants ---------------------------------------------------------------------------------- */

/* As many as wait at most, and only when the workers are busy: looked for one by one. */
static struct frontend_tenant *find_tenant(const struct waiting *waiting, struct text name)
{
    struct frontend_tenant *tenant = waiting->first;
    while (tenant != NULL && !text_equal(tenant->name, name))
        tenant = tenant->next;
    return tenant;
}

static void append_tenant(struct waiting *waiting, struct frontend_tenant *tenant)
{
    tenant->previous = waiting->last;
    tenant->next = NULL;
    if (waiting->last != NULL)
        waiting->last->next = tenant;
    else
        waiting->first = tenant;
    waiting->last = tenant;
    waiting->tenant_count++;
}

static void take_out_tenant(struct waiting *waiting, struct frontend_tenant *tenant)
{
    if (tenant->previous != NULL)
        tenant->previous->next = tenant->next;
    else
        waiting->first = tenant->next;
    if (tenant->next != NULL)
        tenant->next->previous = tenant->previous;
    else
        waiting->last = tenant->previous;
    waiting->tenant_count--;
}

static struct frontend_tenant *add_tenant(struct waiting *waiting, struct text name)
{
    struct frontend_tenant *tenant = calloc(1, sizeof *tenant + name.size);
    if (tenant == NULL)
        return NULL;
    if (name.size > 0)
        memcpy(tenant + 1, name.data, name.size);
    tenant->name = (struct text){(char *)(tenant + 1), name.size};
    append_tenant(waiting, tenant);
    return tenant;
}

/* --- Jobs ------------------------------------------------------------------------------------- */

static bool has_place(const struct waiting *waiting, const struct frontend_tenant *tenant,
                      size_t count_max)
{
    if (tenant == NULL)
        return waiting->count < count_max + count_max / 4;
    return waiting->count < count_max && tenant->count < count_max / waiting->tenant_count;
}

enum error_code waiting_add(struct waiting *waiting, struct frontend_job *job, size_t count_max,
                            struct error *error)
{
    struct frontend_tenant *tenant = find_tenant(waiting, job->subject.tenant);
    if (!has_place(waiting, tenant, count_max))
        return error_set(error, ERROR_UNAVAILABLE, "too many queries wait");
    if (tenant == NULL)
        tenant = add_tenant(waiting, job->subject.tenant);
    if (tenant == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "a query that waits");
    job->waits_in = tenant;
    job->previous = tenant->last;
    job->next = NULL;
    if (tenant->last != NULL)
        tenant->last->next = job;
    else
        tenant->first = job;
    tenant->last = job;
    tenant->count++;
    waiting->count++;
    return ERROR_NONE;
}

void waiting_remove(struct waiting *waiting, struct frontend_job *job)
{
    struct frontend_tenant *tenant = job->waits_in;
    assert(tenant != NULL);
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        tenant->first = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    else
        tenant->last = job->previous;
    job->waits_in = NULL;
    tenant->count--;
    waiting->count--;
    if (tenant->count == 0) {
        take_out_tenant(waiting, tenant);
        free(tenant);
    }
}

struct frontend_job *waiting_take(struct waiting *waiting)
{
    struct frontend_tenant *tenant = waiting->first;
    if (tenant == NULL)
        return NULL;
    struct frontend_job *job = tenant->first;
    if (tenant->count > 1) {
        /* The next turn is another tenant's. */
        take_out_tenant(waiting, tenant);
        append_tenant(waiting, tenant);
    }
    waiting_remove(waiting, job);
    return job;
}
