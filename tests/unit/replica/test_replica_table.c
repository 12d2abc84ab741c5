/* Replicas that come and go while others use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "replica/replica_table.h"

static int content; /* an address is all that is needed */

static struct replica *some_replica(void)
{
    return (struct replica *)&content;
}

static void test_what_is_held_is_known(void **unused)
{
    (void)unused;
    struct error error;
    struct replica_table *table;
    assert_int_equal(replica_table_create(8, &table, &error), ERROR_NONE);
    assert_int_equal(replica_table_end(table), 0);
    assert_null(replica_table_hold(table, 5));
    assert_null(replica_table_hold(table, 8));
    replica_table_put(table, 5, some_replica());
    assert_int_equal(replica_table_end(table), 6);
    assert_ptr_equal(replica_table_hold(table, 5), some_replica());
    assert_ptr_equal(replica_table_take(table, 5), some_replica());
    assert_true(replica_table_is_held(table, 5));
    assert_null(replica_table_hold(table, 5));
    replica_table_release(table, 5);
    assert_false(replica_table_is_held(table, 5));
    assert_null(replica_table_take(table, 5));
    replica_table_destroy(table);
}

/* --- Threads --------------------------------------------------------------------------------- */

enum { ROUNDS = 20000 };

struct shared {
    struct replica_table *table;
    _Atomic int alive; /* 1 while what is in the table may be used */
    _Atomic int finished;
    _Atomic int faults;
    _Atomic int uses;
};

static void *use(void *argument)
{
    struct shared *shared = argument;
    while (!atomic_load(&shared->finished)) {
        if (replica_table_hold(shared->table, 0) == NULL)
            continue;
        if (atomic_load(&shared->alive) != 1)
            atomic_fetch_add(&shared->faults, 1);
        atomic_fetch_add(&shared->uses, 1);
        replica_table_release(shared->table, 0);
    }
    return NULL;
}

static void test_nobody_uses_what_is_gone(void **unused)
{
    (void)unused;
    struct error error;
    struct shared shared = {0};
    assert_int_equal(replica_table_create(1, &shared.table, &error), ERROR_NONE);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &shared), 0);
    for (int i = 0; i < ROUNDS || atomic_load(&shared.uses) == 0; i++) {
        atomic_store(&shared.alive, 1);
        replica_table_put(shared.table, 0, some_replica());
        assert_ptr_equal(replica_table_take(shared.table, 0), some_replica());
        while (replica_table_is_held(shared.table, 0))
            ;
        atomic_store(&shared.alive, 0);
    }
    atomic_store(&shared.finished, 1);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&shared.faults), 0);
    replica_table_destroy(shared.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_held_is_known),
        cmocka_unit_test(test_nobody_uses_what_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
