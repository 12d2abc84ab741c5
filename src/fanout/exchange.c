#include "exchange.h"

#include <assert.h>
#include <stdlib.h>

#include "base/state_version.h"
#include "exchange_private.h"
#include "platform/no_wait.h"

enum {
    NS_PER_MS = 1000 * 1000,
    CANCELED_SEEN_MS = 20,
    WAIT_MS_MAX = 1000,
    PAUSE_MS_MIN = 50,
    PAUSE_MS_MAX = 500,
    /* In thousandths of a hedge. */
    HEDGE_COST = 1000,
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

/* --- Life ------------------------------------------------------------------------------------ */

/* Those that have their slots already. A shard that is desired only is a part of its parent yet;
 * NULL when memory is out. */
static const struct cluster_shard **split_off_shards(struct exchange *exchange, size_t *count_out)
{
    const struct cluster_board *board = exchange->fanout->options.board;
    const struct cluster_state *state = cluster_view_state(exchange->view);
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    const struct cluster_shard **known =
        arena_array(exchange->options.arena, count, sizeof(const struct cluster_shard *));
    *count_out = 0;
    for (size_t i = 0; known != NULL && i < count; i++)
        if (cluster_board_is_split_off(board, state, shards[i].shard_id))
            known[(*count_out)++] = &shards[i];
    return known;
}

/* Whether the state does not know yet of a split that was heard of. */
static bool is_behind(const struct exchange *exchange, const struct exchange_shard *shard)
{
    return shard->splits > 0 &&
           cluster_state_count_children(cluster_view_state(exchange->view),
                                        shard->answer.shard_id) < shard->splits;
}

static enum error_code add_shards(struct exchange *exchange, struct error *error)
{
    struct fanout *fanout = exchange->fanout;
    struct cluster_board *board = fanout->options.board;
    const struct cluster_shard **known = NULL;
    if (board == NULL) {
        struct fanout_replicas *replicas = fanout->options.replicas;
        exchange->shard_count = replicas->operations->end(replicas);
    } else {
        exchange->view = cluster_board_view(board);
        if (exchange->view != NULL &&
            (known = split_off_shards(exchange, &exchange->shard_count)) == NULL)
            return out_of_memory(error);
        if (exchange->shard_count == 0)
            return error_set(error, ERROR_UNAVAILABLE,
                             "what shards the cluster has is not known here yet");
    }
    /* Nodes are asked for it when all of them know how to tell. */
    if (exchange->view != NULL &&
        cluster_state_facts(cluster_view_state(exchange->view))->version < STATE_VERSION_WINDOWS)
        exchange->options.question->wants_windows = false;
    exchange->shards =
        arena_array(exchange->options.arena, exchange->shard_count, sizeof *exchange->shards);
    exchange->here =
        arena_array(exchange->options.arena, exchange->shard_count, sizeof *exchange->here);
    exchange->here_replicas = arena_array(exchange->options.arena, exchange->shard_count,
                                          sizeof *exchange->here_replicas);
    if (exchange->shards == NULL || exchange->here == NULL || exchange->here_replicas == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < exchange->shard_count; i++) {
        struct exchange_shard *shard = &exchange->shards[i];
        shard->answer.shard_id = known == NULL ? (uint32_t)i : known[i]->shard_id;
        shard->splits = SPLITS_ANY;
        if (known == NULL)
            continue;
        shard->desired = &known[i]->replicas;
        shard->least_index = cluster_board_written(board, known[i]->shard_id);
        shard->splits = cluster_board_splits(board, known[i]->shard_id);
        if (is_behind(exchange, shard)) {
            exchange->options.tries->is_outdated = true;
            return error_set(error, ERROR_UNAVAILABLE,
                             "what became of shard %u is not known here yet", known[i]->shard_id);
        }
    }
    return ERROR_NONE;
}

enum error_code exchange_create(const struct exchange_options *options,
                                struct exchange **exchange_out, size_t *count_out,
                                struct error *error)
{
    struct fanout *fanout = options->fanout;
    struct exchange *exchange = arena_array(options->arena, 1, sizeof *exchange);
    if (exchange == NULL)
        return out_of_memory(error);
    uint64_t now_ns = fanout_now_ns(fanout);
    exchange->options = *options;
    exchange->fanout = fanout;
    exchange->node_id = atomic_load(&fanout->node_id);
    exchange->deadline_ns = now_ns + fanout->options.timeout_ms * NS_PER_MS;
    if (options->deadline_ns != 0 && options->deadline_ns < exchange->deadline_ns)
        exchange->deadline_ns = options->deadline_ns;
    exchange->give_up_ns = now_ns + fanout->options.patience_ms * NS_PER_MS;
    exchange->pause_ms = PAUSE_MS_MIN;
    exchange->salt = atomic_load_explicit(&fanout->next_loop, memory_order_relaxed);
    enum error_code code = add_shards(exchange, error);
    if (code != ERROR_NONE) {
        exchange_close(exchange);
        return code;
    }
    *exchange_out = exchange;
    *count_out = exchange->shard_count;
    return ERROR_NONE;
}

void exchange_close(struct exchange *exchange)
{
    if (exchange == NULL)
        return;
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    for (struct exchange_call *call = exchange->calls; call != NULL; call = call->next)
        call_drop(call->call);
    exchange->calls = NULL;
    for (size_t i = 0; exchange->shards != NULL && i < exchange->shard_count; i++) {
        struct exchange_shard *shard = &exchange->shards[i];
        if (shard->is_held)
            replicas->operations->release(replicas, &shard->replica);
        shard->is_held = false;
    }
    inbox_unref(exchange->inbox);
    exchange->inbox = NULL;
    cluster_view_unref(exchange->view);
    exchange->view = NULL;
}

const struct exchange_answer *exchange_answers(const struct exchange *exchange)
{
    assert(exchange->answers != NULL || exchange->shard_count == 0);
    return exchange->answers;
}

const struct fanout_replica *exchange_replica(const struct exchange *exchange, size_t index)
{
    assert(index < exchange->shard_count && exchange->shards[index].is_held);
    return &exchange->shards[index].replica;
}

/* --- Splits ---------------------------------------------------------------------------------- */

void exchange_note_splits(struct exchange *exchange, const struct exchange_shard *shard,
                          uint32_t splits)
{
    if (exchange->fanout->options.board != NULL)
        cluster_board_note_splits(exchange->fanout->options.board, shard->answer.shard_id, splits);
    exchange->options.tries->is_outdated = true;
}

bool exchange_again(struct fanout *fanout, struct exchange_tries *tries,
                    const atomic_bool *canceled, struct error *error)
{
    enum { PAUSE_AGAIN_MS = 2 };
    uint64_t now_ns = fanout_now_ns(fanout);
    if (!tries->is_outdated || (canceled != NULL && atomic_load(canceled)))
        return false;
    if (no_wait_applies()) {
        error_set(error, ERROR_WOULD_WAIT, "shards are being split");
        return false;
    }
    tries->is_outdated = false;
    if (tries->count++ == 0)
        tries->give_up_ns = now_ns + fanout->options.patience_ms * NS_PER_MS;
    if (now_ns >= tries->give_up_ns)
        return false;
    struct inbox *inbox = tries->count == 1 ? NULL : inbox_create();
    if (inbox != NULL)
        inbox_wait(inbox, (uint64_t)PAUSE_AGAIN_MS * tries->count * NS_PER_MS);
    inbox_unref(inbox);
    return true;
}

/* --- Time ------------------------------------------------------------------------------------ */

enum error_code exchange_check(const struct exchange *exchange, struct error *error)
{
    const atomic_bool *canceled = exchange->options.canceled;
    if (canceled != NULL && atomic_load_explicit(canceled, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "the query was canceled");
    if (fanout_now_ns(exchange->fanout) >= exchange->deadline_ns)
        return error_set(error, ERROR_TIMEOUT, "query timed out while other nodes were asked");
    return ERROR_NONE;
}

static void sooner(uint64_t *at_ns, uint64_t other_ns)
{
    if (other_ns < *at_ns)
        *at_ns = other_ns;
}

uint64_t exchange_wait_ns(const struct exchange *exchange, uint64_t now_ns)
{
    uint64_t most_ms = exchange->options.canceled != NULL ? CANCELED_SEEN_MS : WAIT_MS_MAX;
    uint64_t until_ns = now_ns + most_ms * NS_PER_MS;
    sooner(&until_ns, exchange->deadline_ns);
    return until_ns > now_ns ? until_ns - now_ns : 0;
}

/* --- Choosing -------------------------------------------------------------------------------- */

static enum error_code nobody(struct exchange *exchange, const struct exchange_shard *shard,
                              struct error *error)
{
    atomic_fetch_add_explicit(&exchange->fanout->counters.unavailable, 1, memory_order_relaxed);
    enum error_code code =
        shard->reason_code == ERROR_NONE ? ERROR_UNAVAILABLE : shard->reason_code;
    struct text reason =
        shard->reason.size == 0 ? TEXT("nobody is known to have it") : shard->reason;
    return error_set(error, code, "shard %u has no readable replica: %.*s", shard->answer.shard_id,
                     TEXT_ARGUMENTS(reason));
}

/* All candidates were tried: begin anew after a pause, if that can help. */
static enum error_code pause_shard(struct exchange *exchange, struct exchange_shard *shard,
                                   uint64_t now_ns, struct error *error)
{
    bool may_change = shard->reason_code == ERROR_NONE || shard->reason_code == ERROR_UNAVAILABLE;
    if (!may_change || now_ns >= exchange->give_up_ns)
        return nobody(exchange, shard, error);
    shard->retry_at_ns = now_ns + exchange->pause_ms * NS_PER_MS;
    return ERROR_NONE;
}

static void begin_round(struct exchange *exchange, struct exchange_shard *shard)
{
    shard->retry_at_ns = 0;
    shard->tried_count = 0;
    shard->tried_here = false;
    if (exchange->pause_ms < PAUSE_MS_MAX)
        exchange->pause_ms += exchange->pause_ms / 8 + 1;
}

static bool is_idle(const struct exchange_shard *shard)
{
    return !shard->is_done && !shard->runs_here && shard->open_calls == 0 && shard->asks_node == 0;
}

/* Somebody for each shard that waits for nobody. */
static enum error_code choose_all(struct exchange *exchange, struct error *error)
{
    uint64_t now_ns = fanout_now_ns(exchange->fanout);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < exchange->shard_count; i++) {
        struct exchange_shard *shard = &exchange->shards[i];
        if (!is_idle(shard) || shard->retry_at_ns > now_ns)
            continue;
        if (shard->retry_at_ns != 0)
            begin_round(exchange, shard);
        uint64_t node_id;
        enum choice choice = exchange_choose(exchange, shard, &node_id);
        shard->runs_here = choice == CHOICE_HERE;
        if (choice == CHOICE_NODE)
            shard->asks_node = node_id;
        if (choice == CHOICE_NODE && shard->reason_code != ERROR_NONE)
            atomic_fetch_add_explicit(&exchange->fanout->counters.retried, 1, memory_order_relaxed);
        if (choice != CHOICE_HERE && no_wait_applies())
            return error_set(error, ERROR_WOULD_WAIT, "another node is to be asked");
        if (choice == CHOICE_NONE)
            code = pause_shard(exchange, shard, now_ns, error);
    }
    return code;
}

/* --- Silence --------------------------------------------------------------------------------- */

/* Whether another node may be asked what `call` was: always when its node says nothing at all, and
 * now and then when it answers others, since then it may be the question that takes long. */
static bool may_hedge(struct exchange *exchange, const struct exchange_call *call)
{
    struct fanout *fanout = exchange->fanout;
    uint64_t since_ns = call->checked_ns != 0 ? call->checked_ns : call->progress_ns;
    if (atomic_load(&fanout_health(fanout, call->node_id)->heard_ns) <= since_ns) {
        fanout_avoid(fanout, call->node_id, fanout->options.slow_ms);
        return true;
    }
    if (atomic_fetch_sub(&fanout->hedges_allowed, HEDGE_COST) >= HEDGE_COST)
        return true;
    atomic_fetch_add(&fanout->hedges_allowed, HEDGE_COST);
    return false;
}

static void hedge(struct exchange *exchange, struct exchange_call *call)
{
    if (!may_hedge(exchange, call)) {
        call->checked_ns = fanout_now_ns(exchange->fanout);
        return;
    }
    call->is_hedged = true;
    for (size_t i = 0; i < call->answer_count; i++) {
        struct exchange_shard *shard = call->answers[i].shard;
        if (call->answers[i].is_over || shard->is_done || shard->runs_here ||
            shard->asks_node != 0 || shard->open_calls > 1)
            continue;
        uint64_t node_id;
        enum choice choice = exchange_choose(exchange, shard, &node_id);
        shard->runs_here = choice == CHOICE_HERE;
        if (choice != CHOICE_NODE)
            continue;
        shard->asks_node = node_id;
        atomic_fetch_add_explicit(&exchange->fanout->counters.hedged, 1, memory_order_relaxed);
    }
}

/* *wake_at_ns: when the next one has been silent for too long. */
static void hedge_silent(struct exchange *exchange, uint64_t now_ns, uint64_t *wake_at_ns)
{
    uint64_t patience_ns = fanout_hedge_ns(exchange->fanout);
    for (struct exchange_call *call = exchange->calls; call != NULL; call = call->next) {
        if (call->call == NULL || call->is_hedged)
            continue;
        uint64_t since_ns = call->checked_ns != 0 ? call->checked_ns : call->progress_ns;
        if (now_ns >= since_ns + patience_ns)
            hedge(exchange, call);
        else
            sooner(wake_at_ns, since_ns + patience_ns);
    }
}

/* --- Running --------------------------------------------------------------------------------- */

static enum error_code not_answered_here(struct exchange *exchange, struct exchange_shard *shard,
                                         struct error *error)
{
    if (error->code == ERROR_OUT_OF_MEMORY || exchange_is_final(error->code))
        return error->code;
    exchange_note_reason(exchange, shard, error->code, error->message);
    return ERROR_NONE;
}

static enum error_code confirm_here(struct exchange *exchange, struct exchange_shard *shard,
                                    struct error *error)
{
    if (exchange->options.question->read != FANOUT_READ_STRONG)
        return ERROR_NONE;
    return no_wait_applies() ? error_set(error, ERROR_WOULD_WAIT, "a leader is to be confirmed")
                             : exchange_confirm(exchange, &shard->replica, error);
}

/* All shards that are to be answered here. Those whose replicas do not lead as they must are left
 * out. */
static enum error_code gather_here(struct exchange *exchange, struct exchange_group *group_out,
                                   struct error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < exchange->shard_count; i++) {
        struct exchange_shard *shard = &exchange->shards[i];
        if (!shard->runs_here)
            continue;
        shard->runs_here = false;
        enum error_code code = confirm_here(exchange, shard, error);
        if (code == ERROR_NONE)
            exchange->here[count++] = i;
        else
            code = not_answered_here(exchange, shard, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    for (size_t i = 0; i < count; i++) {
        struct exchange_shard *shard = &exchange->shards[exchange->here[i]];
        exchange->here_replicas[i] = shard->replica;
        shard->answer.version = replicas->operations->applied_index(replicas, &shard->replica);
    }
    *group_out = (struct exchange_group){exchange->here, exchange->here_replicas, count};
    return ERROR_NONE;
}

/* They were so often split before it was read: if they are still, what was read is so too. */
static enum error_code check_splits(struct exchange *exchange, const struct exchange_group *group,
                                    struct error *error)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    for (size_t i = 0; i < group->count; i++) {
        const struct exchange_shard *shard = &exchange->shards[group->indexes[i]];
        uint32_t splits = replicas->operations->splits(replicas, &group->replicas[i]);
        if (shard->splits == SPLITS_ANY || splits == shard->splits)
            continue;
        exchange_note_splits(exchange, shard, splits);
        return error_set(error, ERROR_UNAVAILABLE, "shard %u was split meanwhile",
                         shard->answer.shard_id);
    }
    return ERROR_NONE;
}

static enum error_code run_here(struct exchange *exchange, struct error *error)
{
    struct exchange_group group;
    struct answer_frame *frames = NULL;
    enum error_code code = gather_here(exchange, &group, error);
    if (code != ERROR_NONE || group.count == 0)
        return code;
    code = exchange->options.local(exchange->options.context, &group, &frames, error);
    if (code == ERROR_NONE)
        code = check_splits(exchange, &group, error);
    for (size_t i = 0; i < group.count; i++) {
        struct exchange_shard *shard = &exchange->shards[group.indexes[i]];
        if (code != ERROR_NONE) {
            enum error_code outcome = not_answered_here(exchange, shard, error);
            if (outcome != ERROR_NONE)
                return outcome;
            continue;
        }
        shard->answer.is_local = true;
        shard->answer.first = i == 0 ? frames : NULL;
        shard->answer.group = group.indexes[exchange->options.mode == EXCHANGE_GROUPS ? 0 : i];
        exchange_finish_shard(exchange, shard);
    }
    return ERROR_NONE;
}

/* What is to be answered here next. */
static enum error_code run_next_here(struct exchange *exchange, bool *ran_out, struct error *error)
{
    *ran_out = false;
    for (size_t i = 0; i < exchange->shard_count; i++)
        if (exchange->shards[i].runs_here) {
            *ran_out = true;
            return run_here(exchange, error);
        }
    return ERROR_NONE;
}

static void wait_for_news(struct exchange *exchange, uint64_t wake_at_ns)
{
    uint64_t now_ns = fanout_now_ns(exchange->fanout);
    sooner(&wake_at_ns, now_ns + exchange_wait_ns(exchange, now_ns));
    for (size_t i = 0; i < exchange->shard_count; i++)
        if (exchange->shards[i].retry_at_ns != 0)
            sooner(&wake_at_ns, exchange->shards[i].retry_at_ns);
    if (wake_at_ns > now_ns)
        inbox_wait(exchange->inbox, wake_at_ns - now_ns);
}

static enum error_code step(struct exchange *exchange, struct error *error)
{
    bool ran = false;
    uint64_t wake_at_ns = UINT64_MAX;
    enum error_code code = exchange_check(exchange, error);
    if (code == ERROR_NONE && exchange->options.tries->is_outdated)
        code = error_set(error, ERROR_UNAVAILABLE, "a shard was split meanwhile");
    if (code == ERROR_NONE)
        code = choose_all(exchange, error);
    if (code == ERROR_NONE)
        code = exchange_ask(exchange, error);
    if (code == ERROR_NONE)
        code = run_next_here(exchange, &ran, error);
    if (code == ERROR_NONE)
        code = exchange_collect(exchange, error);
    if (code != ERROR_NONE || ran || exchange->done_count == exchange->shard_count)
        return code;
    hedge_silent(exchange, fanout_now_ns(exchange->fanout), &wake_at_ns);
    for (size_t i = 0; i < exchange->shard_count; i++) {
        const struct exchange_shard *shard = &exchange->shards[i];
        if (shard->runs_here || shard->asks_node != 0 ||
            (is_idle(shard) && shard->retry_at_ns == 0))
            return ERROR_NONE; /* there is something to do */
    }
    if (exchange->inbox == NULL)
        exchange->inbox = inbox_create();
    if (exchange->inbox == NULL)
        return out_of_memory(error);
    wait_for_news(exchange, wake_at_ns);
    return ERROR_NONE;
}

enum error_code exchange_begin(struct exchange *exchange, struct error *error)
{
    enum error_code code = choose_all(exchange, error);
    return code == ERROR_NONE ? exchange_ask(exchange, error) : code;
}

enum error_code exchange_run(struct exchange *exchange, struct error *error)
{
    if (exchange->answers != NULL)
        return ERROR_NONE;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && exchange->done_count < exchange->shard_count)
        code = step(exchange, error);
    if (code != ERROR_NONE)
        return code;
    exchange->answers =
        arena_array(exchange->options.arena, exchange->shard_count, sizeof *exchange->answers);
    if (exchange->answers == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < exchange->shard_count; i++)
        exchange->answers[i] = exchange->shards[i].answer;
    error_clear(error); /* what others were asked for instead is no failure */
    return ERROR_NONE;
}
