#include "allocation_faults.h"

#include <errno.h>
#include <stdatomic.h>

static _Thread_local size_t left; /* 0: not armed */
static _Thread_local bool injected;
static atomic_size_t left_everywhere; /* 0: not armed */
static atomic_bool injected_everywhere;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);

char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size_max);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size_max);

void allocation_faults_arm(size_t number)
{
    left = number;
    injected = false;
}

bool allocation_faults_disarm(void)
{
    left = 0;
    return injected;
}

void allocation_faults_arm_everywhere(size_t number)
{
    injected_everywhere = false;
    left_everywhere = number;
}

bool allocation_faults_disarm_everywhere(void)
{
    left_everywhere = 0;
    return injected_everywhere;
}

/* Whether this is the allocation that fails, of all threads. */
static bool fails_everywhere(void)
{
    size_t before = left_everywhere;
    while (before > 0 && !atomic_compare_exchange_weak(&left_everywhere, &before, before - 1))
        ;
    if (before != 1)
        return false;
    injected_everywhere = true;
    return true;
}

static bool fails_here(void)
{
    if (left == 0 || --left > 0)
        return false;
    injected = true;
    return true;
}

static bool fails(void)
{
    if (!fails_here() && !fails_everywhere())
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return fails() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size_max)
{
    return fails() ? NULL : __real_strndup(text, size_max);
}
