#include "access/gate.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "authorization.h"
#include "base/limits.h"
#include "base/log.h"
#include "password_queue.h"
#include "platform/clock.h"

/* --- Types ------------------------------------------------------------------------------- */

enum refusal {
    REFUSED_MISSING,   /* says nothing about itself */
    REFUSED_MALFORMED, /* or says it in two ways */
    REFUSED_SCHEME,    /* a scheme that nobody here has */
    REFUSED_PASSWORD,
    REFUSED_TOKEN,
    REFUSED_TENANT, /* of the token is another */
    REFUSED_BUSY,   /* too many passwords are being checked */
    REFUSALS
};

static const char *const REFUSAL_NAMES[REFUSALS] = {
    [REFUSED_MISSING] = "missing",   [REFUSED_MALFORMED] = "malformed", [REFUSED_SCHEME] = "scheme",
    [REFUSED_PASSWORD] = "password", [REFUSED_TOKEN] = "token",         [REFUSED_TENANT] = "tenant",
    [REFUSED_BUSY] = "busy",
};

/* What is gone by at a time. Immutable; the gate and every request that is held have a reference.
 */
struct policy {
    _Atomic size_t references;
    struct web_config *config;
    struct digest token_digests[]; /* [config->token_count] */
};

struct gate {
    struct gate_options options;
    struct digest_key key;
    struct password_queue *passwords;
    pthread_mutex_t mutex;         /* of taking a reference to `policy`, and of replacing it */
    struct policy *_Atomic policy; /* NULL: everybody passes */
    struct counter *refused[REFUSALS];
    struct log_limit log_limits[REFUSALS];
    struct counter *admitted_password;
    struct counter *admitted_token;
};

/* A request whose password is being checked. In its arena. */
struct held {
    struct password_waiter waiter; /* first */
    struct gate *gate;
    struct policy *policy; /* referenced */
    struct http_request *request;
    struct text user;
};

/* --- Policy ------------------------------------------------------------------------------ */

static void policy_unref(struct policy *policy)
{
    if (policy == NULL || atomic_fetch_sub(&policy->references, 1) > 1)
        return;
    web_config_destroy(policy->config);
    free(policy);
}

static struct policy *policy_ref(struct gate *gate)
{
    if (atomic_load_explicit(&gate->policy, memory_order_acquire) == NULL)
        return NULL;
    pthread_mutex_lock(&gate->mutex);
    struct policy *policy = atomic_load(&gate->policy);
    if (policy != NULL)
        atomic_fetch_add(&policy->references, 1);
    pthread_mutex_unlock(&gate->mutex);
    return policy;
}

static bool policy_asks(const struct policy *policy)
{
    return policy != NULL && (policy->config->user_count > 0 || policy->config->token_count > 0);
}

/* --- Refusing ---------------------------------------------------------------------------- */

static void tell(struct gate *gate, struct http_request *request, enum refusal why)
{
    uint64_t suppressed;
    if (!log_limit_allow(&gate->log_limits[why], clock_now_ms(clock_system()), &suppressed))
        return;
    /* No user: people type passwords there. */
    log_event(LOG_WARNING, "access", "a request was refused",
              "remote=%.*s reason=%s suppressed=%llu",
              TEXT_ARGUMENTS(http_request_remote_address(request)), REFUSAL_NAMES[why],
              (unsigned long long)suppressed);
}

/* In the words of Prometheus. */
static enum http_admission refuse(struct gate *gate, const struct policy *policy,
                                  struct http_request *request, enum refusal why)
{
    struct http_header headers[2];
    struct http_response response = {
        .status = why == REFUSED_BUSY     ? 503
                  : why == REFUSED_TENANT ? 403
                                          : 401,
        .content_type = TEXT("text/plain; charset=utf-8"),
        .headers = headers,
        .body = why == REFUSED_BUSY     ? TEXT("too many passwords wait to be checked\n")
                : why == REFUSED_TENANT ? TEXT("the token is for another tenant\n")
                                        : TEXT("Unauthorized\n"),
    };
    if (why == REFUSED_BUSY)
        headers[response.header_count++] = (struct http_header){TEXT("Retry-After"), TEXT("1")};
    if (response.status == 401 && policy->config->user_count > 0)
        headers[response.header_count++] =
            (struct http_header){TEXT("WWW-Authenticate"), TEXT("Basic")};
    if (response.status == 401 && policy->config->token_count > 0)
        headers[response.header_count++] =
            (struct http_header){TEXT("WWW-Authenticate"), TEXT("Bearer")};
    counter_add(gate->refused[why], 1);
    tell(gate, request, why);
    http_respond(request, &response);
    return HTTP_REFUSED;
}

/* --- Passwords --------------------------------------------------------------------------- */

static const struct web_user *find_user(const struct web_config *config, struct text name)
{
    for (size_t i = 0; i < config->user_count; i++)
        if (text_equal(config->users[i].name, name))
            return &config->users[i];
    return NULL;
}

static enum http_admission conclude_password(struct gate *gate, const struct policy *policy,
                                             struct http_request *request, struct text user,
                                             enum password_verdict verdict)
{
    if (verdict != PASSWORD_RIGHT)
        return refuse(gate, policy, request,
                      verdict == PASSWORD_BUSY ? REFUSED_BUSY : REFUSED_PASSWORD);
    struct text name = arena_copy_text(http_request_arena(request), user);
    http_request_set_identity(request, (struct http_identity){.name = name});
    counter_add(gate->admitted_password, 1);
    return HTTP_ADMITTED;
}

static enum http_admission decide(struct gate *gate, struct policy *policy,
                                  struct http_request *request);

/* The check is made, by a policy that may be replaced by now. */
static void on_decided(struct password_waiter *waiter)
{
    struct held *held = (struct held *)waiter;
    struct gate *gate = held->gate;
    struct http_request *request = held->request;
    struct policy *before = held->policy;
    struct policy *now = policy_ref(gate);
    enum http_admission admission =
        now == before ? conclude_password(gate, now, request, held->user, waiter->verdict)
                      : decide(gate, now, request);
    if (admission == HTTP_ADMITTED)
        http_request_admit(request); /* it and `held` may be gone now */
    policy_unref(before);
    policy_unref(now);
}

/* Without the port. */
static struct text address_of(struct http_request *request)
{
    struct text address = http_request_remote_address(request);
    for (size_t i = address.size; i > 0; i--)
        if (address.data[i - 1] == ':')
            return (struct text){address.data, i - 1};
    return address;
}

static enum http_admission ask_queue(struct gate *gate, struct policy *policy,
                                     struct http_request *request,
                                     const struct password_question *question, struct text user)
{
    struct arena *arena = http_request_arena(request);
    struct held *held = arena_allocate(arena, sizeof *held);
    if (held == NULL)
        return refuse(gate, policy, request, REFUSED_BUSY);
    *held = (struct held){
        .waiter = {.decided = on_decided, .scheduler = http_request_scheduler(request)},
        .gate = gate,
        .policy = policy,
        .request = request,
        .user = arena_copy_text(arena, user),
    };
    enum password_verdict verdict = password_queue_ask(gate->passwords, question, &held->waiter);
    if (verdict != PASSWORD_UNKNOWN)
        return conclude_password(gate, policy, request, user, verdict);
    /* The loop decides later: the check can't have come back before this turn is over. */
    atomic_fetch_add(&policy->references, 1);
    return HTTP_HELD;
}

/* Of somebody unknown a hash of somebody else is checked: names can't be told by the time. */
static enum http_admission check_password(struct gate *gate, struct policy *policy,
                                          struct http_request *request,
                                          const struct authorization *given)
{
    const struct web_user *user = find_user(policy->config, given->user);
    struct password_question question = {
        .password = given->password,
        .hash = user == NULL ? policy->config->users[0].hash : user->hash,
        .is_known = user != NULL,
        .address = address_of(request),
    };
    /* With the hash, so that what is remembered of a password that was changed means nothing. */
    struct text texts[] = {user == NULL ? TEXT("unknown") : TEXT("known"), given->user,
                           text_of(question.hash), given->password};
    if (!digest_make(&gate->key, texts, 4, &question.digest))
        return refuse(gate, policy, request, REFUSED_BUSY);
    enum password_verdict verdict = password_queue_look(gate->passwords, &question.digest);
    if (verdict == PASSWORD_UNKNOWN)
        return ask_queue(gate, policy, request, &question, given->user);
    return conclude_password(gate, policy, request, given->user, verdict);
}

/* --- Tokens ------------------------------------------------------------------------------ */

/* All of them, whichever fits. */
static const struct web_token *find_token(const struct policy *policy, const struct digest *digest)
{
    const struct web_token *found = NULL;
    for (size_t i = 0; i < policy->config->token_count; i++)
        if (digest_equal(&policy->token_digests[i], digest))
            found = &policy->config->tokens[i];
    return found;
}

static enum http_admission check_token(struct gate *gate, const struct policy *policy,
                                       struct http_request *request, struct text secret)
{
    struct digest digest;
    struct text tenant;
    if (!digest_make(&gate->key, &secret, 1, &digest))
        return refuse(gate, policy, request, REFUSED_BUSY);
    const struct web_token *token = find_token(policy, &digest);
    if (token == NULL)
        return refuse(gate, policy, request, REFUSED_TOKEN);
    if (token->tenant.size > 0 && http_request_header(request, TEXT("X-Scope-OrgID"), &tenant) &&
        !text_equal(tenant, token->tenant))
        return refuse(gate, policy, request, REFUSED_TENANT);
    struct arena *arena = http_request_arena(request);
    struct http_identity identity = {
        .name = arena_copy_text(arena, token->name),
        .tenant = arena_copy_text(arena, token->tenant),
    };
    if (identity.tenant.size != token->tenant.size) /* never wider for want of memory */
        return refuse(gate, policy, request, REFUSED_BUSY);
    http_request_set_identity(request, identity);
    counter_add(gate->admitted_token, 1);
    return HTTP_ADMITTED;
}

/* --- Deciding ---------------------------------------------------------------------------- */

static bool is_open(const struct gate *gate, const struct http_request *request)
{
    const char *route = http_request_route(request);
    for (size_t i = 0; route != NULL && i < gate->options.open_route_count; i++)
        if (strcmp(route, gate->options.open_routes[i]) == 0)
            return true;
    return false;
}

static size_t count_authorizations(const struct http_request *request)
{
    size_t header_count, count = 0;
    const struct http_header *headers = http_request_headers(request, &header_count);
    for (size_t i = 0; i < header_count; i++)
        count += text_equal_ignoring_case(headers[i].name, TEXT("Authorization"));
    return count;
}

static enum http_admission decide_by(struct gate *gate, struct policy *policy,
                                     struct http_request *request,
                                     const struct authorization *given)
{
    if (given->kind == AUTHORIZATION_BASIC && policy->config->user_count > 0)
        return check_password(gate, policy, request, given);
    if (given->kind == AUTHORIZATION_BEARER && policy->config->token_count > 0)
        return check_token(gate, policy, request, given->token);
    return refuse(gate, policy, request,
                  given->kind == AUTHORIZATION_MALFORMED ? REFUSED_MALFORMED : REFUSED_SCHEME);
}

static enum http_admission decide(struct gate *gate, struct policy *policy,
                                  struct http_request *request)
{
    struct text value;
    if (!policy_asks(policy))
        return HTTP_ADMITTED;
    if (!http_request_header(request, TEXT("Authorization"), &value))
        return refuse(gate, policy, request, REFUSED_MISSING);
    if (count_authorizations(request) > 1)
        return refuse(gate, policy, request, REFUSED_MALFORMED);
    struct authorization_scratch scratch;
    struct authorization given = authorization_parse(value, &scratch);
    enum http_admission admission = decide_by(gate, policy, request, &given);
    explicit_bzero(&scratch, sizeof scratch);
    return admission;
}

static enum http_admission authenticate(void *context, struct http_request *request)
{
    struct gate *gate = context;
    if (is_open(gate, request))
        return HTTP_ADMITTED;
    struct policy *policy = policy_ref(gate);
    enum http_admission admission = decide(gate, policy, request);
    policy_unref(policy);
    return admission;
}

static size_t decorate(void *context, struct http_request *request, struct http_header *headers,
                       size_t capacity)
{
    struct policy *policy = policy_ref(context);
    size_t count = 0;
    if (policy == NULL)
        return 0;
    for (size_t i = 0; i < policy->config->header_count && count < capacity; i++) {
        headers[count] = (struct http_header){
            arena_copy_text(http_request_arena(request), policy->config->headers[i].name),
            arena_copy_text(http_request_arena(request), policy->config->headers[i].value)};
        count += headers[count].name.data != NULL;
    }
    policy_unref(policy);
    return count;
}

/* --- Metrics ----------------------------------------------------------------------------- */

static bool add_counters(struct gate *gate)
{
    struct metrics *metrics = gate->options.metrics;
    struct metric_label label = {"by", "password"};
    struct metric_options options = {"gnomon_access_admitted_total",
                                     "Requests let in by a password or a token.", &label, 1};
    gate->admitted_password = metrics_counter(metrics, &options);
    label.value = "token";
    gate->admitted_token = metrics_counter(metrics, &options);
    bool complete = gate->admitted_password != NULL && gate->admitted_token != NULL;
    options = (struct metric_options){"gnomon_access_refused_total",
                                      "Requests that were not let in.", &label, 1};
    label.name = "reason";
    for (int why = 0; why < REFUSALS; why++) {
        label.value = REFUSAL_NAMES[why];
        gate->refused[why] = metrics_counter(metrics, &options);
        complete = complete && gate->refused[why] != NULL;
    }
    return complete;
}

static void collect(void *context, metric_visit *visit, void *visit_context)
{
    struct gate *gate = context;
    struct password_queue_statistics now;
    password_queue_statistics(gate->passwords, &now);
    const struct {
        const char *name;
        const char *help;
        enum metric_kind kind;
        double value;
    } SAMPLES[] = {
        {"gnomon_access_password_checks_total", "Passwords checked by bcrypt.", METRIC_KIND_COUNTER,
         (double)now.checks},
        {"gnomon_access_password_check_seconds_total", "Time of workers for it.",
         METRIC_KIND_COUNTER, (double)now.check_ns / 1e9},
        {"gnomon_access_password_checks_waiting", "Passwords that wait to be checked.",
         METRIC_KIND_GAUGE, (double)now.waiting},
    };
    for (size_t i = 0; i < sizeof SAMPLES / sizeof SAMPLES[0]; i++)
        visit(visit_context, &(struct metric_sample){
                                 .family = SAMPLES[i].name,
                                 .help = SAMPLES[i].help,
                                 .kind = SAMPLES[i].kind,
                                 .name = SAMPLES[i].name,
                                 .value = SAMPLES[i].value,
                             });
}

/* --- Life -------------------------------------------------------------------------------- */

enum error_code gate_create(const struct gate_options *options, struct gate **gate_out,
                            struct error *error)
{
    assert(options->checks_max >= 1 && options->checks_max <= GATE_CHECKS_MAX);
    struct gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "gate");
    gate->options = *options;
    pthread_mutex_init(&gate->mutex, NULL);
    for (int why = 0; why < REFUSALS; why++)
        gate->log_limits[why] = (struct log_limit){.interval_ms = 10000, .burst = 5};
    enum error_code code = ERROR_NONE;
    gate->passwords = password_queue_create(options->checks_max);
    if (gate->passwords == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "gate");
    if (code == ERROR_NONE && !digest_key_init(&gate->key))
        code = error_set(error, ERROR_IO, "gate: the system gives no random bits");
    if (code == ERROR_NONE &&
        (!add_counters(gate) || !metrics_add_collector(options->metrics, collect, gate)))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "gate");
    if (code != ERROR_NONE) {
        gate_destroy(gate);
        return code;
    }
    *gate_out = gate;
    return ERROR_NONE;
}

void gate_destroy(struct gate *gate)
{
    if (gate == NULL)
        return;
    policy_unref(atomic_load(&gate->policy));
    password_queue_destroy(gate->passwords);
    pthread_mutex_destroy(&gate->mutex);
    digest_key_clear(&gate->key);
    free(gate);
}

static enum error_code policy_create(struct gate *gate, struct web_config *config,
                                     struct policy **policy_out, struct error *error)
{
    struct policy *policy =
        calloc(1, sizeof *policy + config->token_count * sizeof policy->token_digests[0]);
    if (policy == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "gate");
    policy->references = 1;
    policy->config = config;
    for (size_t i = 0; i < config->token_count; i++) {
        if (digest_make(&gate->key, &config->tokens[i].secret, 1, &policy->token_digests[i]))
            continue;
        free(policy);
        return error_set(error, ERROR_OUT_OF_MEMORY, "gate");
    }
    *policy_out = policy;
    return ERROR_NONE;
}

enum error_code gate_replace(struct gate *gate, struct web_config *config, struct error *error)
{
    struct policy *policy = NULL;
    if (config != NULL) {
        enum error_code code = policy_create(gate, config, &policy, error);
        if (code != ERROR_NONE)
            return code;
    }
    pthread_mutex_lock(&gate->mutex);
    struct policy *former = atomic_exchange(&gate->policy, policy);
    pthread_mutex_unlock(&gate->mutex);
    policy_unref(former);
    return ERROR_NONE;
}

void gate_stop(struct gate *gate)
{
    password_queue_stop(gate->passwords);
}

struct http_guard gate_guard(struct gate *gate)
{
    return (struct http_guard){.context = gate, .authenticate = authenticate, .decorate = decorate};
}
