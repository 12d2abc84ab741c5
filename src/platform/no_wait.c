#include "platform/no_wait.h"

#include <assert.h>

static _Thread_local uint64_t limit_ns; /* 0: the thread may wait */

void no_wait_begin(uint64_t until_ns)
{
    assert(limit_ns == 0 && until_ns != 0);
    limit_ns = until_ns;
}

void no_wait_end(void)
{
    assert(limit_ns != 0);
    limit_ns = 0;
}

bool no_wait_applies(void)
{
    return limit_ns != 0;
}

bool no_wait_is_over(uint64_t now_ns)
{
    return limit_ns != 0 && now_ns >= limit_ns;
}
