#include "password_queue.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "authorization.h"
#include "digest_table.h"
#include "password.h"
#include "platform/clock.h"

/* --- Types ------------------------------------------------------------------------------- */

enum { RIGHT_SETS = 256, WRONG_SETS = 1024, ADDRESS_BYTES = 64 };

/* A password that somebody waits to have checked. */
struct check {
    struct check *next;
    struct password_waiter *waiters;
    struct digest digest;
    bool is_known;
    bool is_right;
    char hash[PASSWORD_HASH_SIZE + 1];
    char password[AUTHORIZATION_PASSWORD_BYTES_MAX + 1];
    char address[ADDRESS_BYTES]; /* cut to fit */
};

/* Makes one check after the other. */
struct checker {
    struct job job; /* first */
    struct password_queue *queue;
    struct check *check; /* NULL: idle */
};

struct password_queue {
    pthread_mutex_t mutex; /* of everything below but what a job works on */
    struct digest_table right;
    struct digest_table wrong;
    struct check *first; /* waiting, in the order of their coming */
    struct check **last;
    size_t waiting;
    bool is_stopped;
    uint64_t checks;
    uint64_t check_ns;
    size_t checker_count;
    struct checker checkers[];
};

/* --- Checks ------------------------------------------------------------------------------ */

static void check_destroy(struct check *check)
{
    if (check == NULL)
        return;
    explicit_bzero(check, sizeof *check);
    free(check);
}

static struct check *check_create(const struct password_question *question)
{
    assert(question->password.size <= AUTHORIZATION_PASSWORD_BYTES_MAX);
    assert(strlen(question->hash) == PASSWORD_HASH_SIZE);
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL)
        return NULL;
    check->digest = question->digest;
    check->is_known = question->is_known;
    memcpy(check->hash, question->hash, PASSWORD_HASH_SIZE);
    if (question->password.size > 0)
        memcpy(check->password, question->password.data, question->password.size);
    size_t size =
        question->address.size < ADDRESS_BYTES ? question->address.size : ADDRESS_BYTES - 1;
    if (size > 0)
        memcpy(check->address, question->address.data, size);
    return check;
}

static bool is_from(const struct check *check, const struct password_question *question)
{
    size_t size =
        question->address.size < ADDRESS_BYTES ? question->address.size : ADDRESS_BYTES - 1;
    return strlen(check->address) == size &&
           memcmp(check->address, question->address.data, size) == 0;
}

static void tell(struct task *task)
{
    struct password_waiter *waiter =
        (struct password_waiter *)((char *)task - offsetof(struct password_waiter, task));
    waiter->decided(waiter);
}

/* Each on its own loop. Its memory may be gone when it is posted. */
static void tell_all(struct password_waiter *waiters, enum password_verdict verdict)
{
    struct password_waiter *next;
    for (struct password_waiter *waiter = waiters; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->verdict = verdict;
        waiter->task.run = tell;
        scheduler_post(waiter->scheduler, &waiter->task);
    }
}

/* --- Making them ------------------------------------------------------------------------- */

/* Under the mutex. */
static struct check *take_first(struct password_queue *queue)
{
    struct check *check = queue->first;
    if (check == NULL)
        return NULL;
    queue->first = check->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    queue->waiting--;
    check->next = NULL;
    return check;
}

static void check_run(struct job *job)
{
    struct checker *checker = (struct checker *)job;
    struct check *check = checker->check;
    uint64_t start_ns = clock_monotonic_ns(clock_system());
    bool matches = password_matches(check->password, check->hash);
    check->is_right = matches && check->is_known;
    uint64_t taken_ns = clock_monotonic_ns(clock_system()) - start_ns;
    pthread_mutex_lock(&checker->queue->mutex);
    checker->queue->checks++;
    checker->queue->check_ns += taken_ns;
    pthread_mutex_unlock(&checker->queue->mutex);
}

static void check_done(struct job *job)
{
    struct checker *checker = (struct checker *)job;
    struct password_queue *queue = checker->queue;
    struct check *check = checker->check;
    struct scheduler *scheduler = job->origin;
    pthread_mutex_lock(&queue->mutex);
    digest_table_add(check->is_right ? &queue->right : &queue->wrong, &check->digest);
    struct password_waiter *waiters = check->waiters;
    checker->check = take_first(queue);
    bool goes_on = checker->check != NULL;
    pthread_mutex_unlock(&queue->mutex);
    if (goes_on)
        scheduler_submit(scheduler, &checker->job);
    /* Last: whoever is told may be the last whom the end of the node waits for. */
    tell_all(waiters, check->is_right ? PASSWORD_RIGHT : PASSWORD_WRONG);
    check_destroy(check);
}

/* --- Asking ------------------------------------------------------------------------------ */

/* Under the mutex. */
static enum password_verdict remembered(struct password_queue *queue, const struct digest *digest)
{
    if (digest_table_has(&queue->right, digest))
        return PASSWORD_RIGHT;
    return digest_table_has(&queue->wrong, digest) ? PASSWORD_WRONG : PASSWORD_UNKNOWN;
}

/* Who asks the same already; and how many checks are there for the address. */
static struct check *find_check(struct password_queue *queue,
                                const struct password_question *question, size_t *of_address_out)
{
    struct check *found = NULL;
    *of_address_out = 0;
    for (size_t i = 0; i < queue->checker_count; i++) {
        struct check *check = queue->checkers[i].check;
        if (check == NULL)
            continue;
        *of_address_out += is_from(check, question);
        if (digest_equal(&check->digest, &question->digest))
            found = check;
    }
    for (struct check *check = queue->first; check != NULL; check = check->next) {
        *of_address_out += is_from(check, question);
        if (digest_equal(&check->digest, &question->digest))
            found = check;
    }
    return found;
}

static struct checker *find_idle(struct password_queue *queue)
{
    for (size_t i = 0; i < queue->checker_count; i++)
        if (queue->checkers[i].check == NULL)
            return &queue->checkers[i];
    return NULL;
}

static void add_waiter(struct check *check, struct password_waiter *waiter)
{
    waiter->next = check->waiters;
    check->waiters = waiter;
}

/* Under the mutex. *idle_out is who has to begin with it, NULL when it waits. */
static enum password_verdict enqueue(struct password_queue *queue,
                                     const struct password_question *question,
                                     struct password_waiter *waiter, struct checker **idle_out)
{
    size_t of_address;
    struct check *same = find_check(queue, question, &of_address);
    if (same != NULL) {
        add_waiter(same, waiter);
        return PASSWORD_UNKNOWN;
    }
    struct checker *idle = find_idle(queue);
    if (of_address >= PASSWORD_CHECKS_OF_ADDRESS_MAX ||
        (idle == NULL && queue->waiting >= PASSWORD_CHECKS_WAITING_MAX))
        return PASSWORD_BUSY;
    struct check *check = check_create(question);
    if (check == NULL)
        return PASSWORD_BUSY;
    add_waiter(check, waiter);
    if (idle != NULL) {
        idle->check = check;
        *idle_out = idle;
        return PASSWORD_UNKNOWN;
    }
    *queue->last = check;
    queue->last = &check->next;
    queue->waiting++;
    return PASSWORD_UNKNOWN;
}

enum password_verdict password_queue_look(struct password_queue *queue, const struct digest *digest)
{
    pthread_mutex_lock(&queue->mutex);
    enum password_verdict verdict = remembered(queue, digest);
    pthread_mutex_unlock(&queue->mutex);
    return verdict;
}

enum password_verdict password_queue_ask(struct password_queue *queue,
                                         const struct password_question *question,
                                         struct password_waiter *waiter)
{
    assert(scheduler_on_loop(waiter->scheduler));
    struct checker *idle = NULL;
    pthread_mutex_lock(&queue->mutex);
    enum password_verdict verdict = remembered(queue, &question->digest);
    if (verdict == PASSWORD_UNKNOWN && queue->is_stopped)
        verdict = PASSWORD_BUSY;
    if (verdict == PASSWORD_UNKNOWN)
        verdict = enqueue(queue, question, waiter, &idle);
    pthread_mutex_unlock(&queue->mutex);
    if (idle != NULL) /* nobody else touches a checker that is not idle */
        scheduler_submit(waiter->scheduler, &idle->job);
    return verdict;
}

/* --- Life -------------------------------------------------------------------------------- */

struct password_queue *password_queue_create(size_t checks_max)
{
    assert(checks_max > 0);
    struct password_queue *queue =
        calloc(1, sizeof *queue + checks_max * sizeof queue->checkers[0]);
    if (queue == NULL)
        return NULL;
    pthread_mutex_init(&queue->mutex, NULL);
    queue->last = &queue->first;
    queue->checker_count = checks_max;
    for (size_t i = 0; i < checks_max; i++) {
        queue->checkers[i].queue = queue;
        queue->checkers[i].job =
            (struct job){.run = check_run, .done = check_done, .class = JOB_QUERY};
    }
    if (!digest_table_init(&queue->right, RIGHT_SETS) ||
        !digest_table_init(&queue->wrong, WRONG_SETS)) {
        password_queue_destroy(queue);
        return NULL;
    }
    return queue;
}

void password_queue_destroy(struct password_queue *queue)
{
    if (queue == NULL)
        return;
    assert(queue->first == NULL);
    for (size_t i = 0; i < queue->checker_count; i++)
        assert(queue->checkers[i].check == NULL);
    digest_table_clear(&queue->right);
    digest_table_clear(&queue->wrong);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

void password_queue_stop(struct password_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->is_stopped = true;
    struct check *first = queue->first;
    queue->first = NULL;
    queue->last = &queue->first;
    queue->waiting = 0;
    pthread_mutex_unlock(&queue->mutex);
    struct check *next;
    for (struct check *check = first; check != NULL; check = next) {
        next = check->next;
        tell_all(check->waiters, PASSWORD_BUSY);
        check_destroy(check);
    }
}

void password_queue_statistics(struct password_queue *queue,
                               struct password_queue_statistics *statistics_out)
{
    pthread_mutex_lock(&queue->mutex);
    *statistics_out = (struct password_queue_statistics){
        .checks = queue->checks,
        .check_ns = queue->check_ns,
        .waiting = queue->waiting,
    };
    pthread_mutex_unlock(&queue->mutex);
}
