#include <assert.h>
#include <stdlib.h>

#include "answer.h"
#include "http/gzip.h"
#include "platform/loop.h"
#include "request_state.h"
#include "server_state.h"

/*
 * One job makes one piece; the next is submitted when its piece is queued and there is room, else
 * when room comes. The head waits for the first piece: a body that ends with it has a length.
 */

struct production {
    struct job job;
    struct task task; /* stands in for the job on a loop without workers */
    struct http_request *request;
    struct http_producer *producer;
    struct byte_buffer head;
    struct byte_buffer piece;
    struct gzip_encoder *gzip; /* NULL: not compressed */
    bool has_head;             /* queued */
    bool is_working;           /* a job is under way */
    enum http_production state;
};

static void produce_next(struct production *production);

/* --- On a worker ------------------------------------------------------------------------- */

static void make_piece(struct production *production)
{
    struct byte_buffer raw = {0};
    production->state = production->producer->produce(production->producer, &raw);
    if (raw.failed)
        production->state = HTTP_PRODUCTION_BROKEN;
    if (production->gzip == NULL || production->state == HTTP_PRODUCTION_BROKEN) {
        production->piece = raw;
        return;
    }
    enum gzip_flush flush = production->state == HTTP_PRODUCTION_END ? GZIP_END : GZIP_MORE;
    struct text text = {.data = (const char *)raw.bytes, .size = raw.size};
    gzip_encode(production->gzip, text, flush, &production->piece);
    byte_buffer_clear(&raw);
    if (production->piece.failed)
        production->state = HTTP_PRODUCTION_BROKEN;
}

static void job_run(struct job *job)
{
    make_piece((struct production *)((char *)job - offsetof(struct production, job)));
}

/* --- On the loop ------------------------------------------------------------------------- */

static void end(struct production *production, enum http_production how)
{
    struct http_request *request = production->request;
    struct http_producer *producer = production->producer;
    gzip_encoder_destroy(production->gzip);
    byte_buffer_clear(&production->piece);
    byte_buffer_clear(&production->head);
    request->writable = NULL;
    producer->finished(producer);
    if (how == HTTP_PRODUCTION_BROKEN)
        answer_cut(request);
    else
        answer_finish(request);
    request_release(request); /* the production is in its arena */
}

/* The first piece is there: length or chunks. */
static void queue_head(struct production *production)
{
    struct http_request *request = production->request;
    bool is_whole = production->state == HTTP_PRODUCTION_END;
    enum answer_coding coding = production->gzip == NULL ? CODING_NONE : CODING_GZIP;
    answer_head_end(request, &production->head,
                    is_whole ? FRAMING_LENGTH : answer_framing_of(request), production->piece.size,
                    coding);
    answer_queue(request, &production->head, (struct text){0}, NULL);
    production->has_head = true;
}

static void piece_is_made(struct production *production)
{
    struct http_request *request = production->request;
    production->is_working = false;
    if (production->state == HTTP_PRODUCTION_BROKEN || answer_is_lost(request)) {
        end(production, HTTP_PRODUCTION_BROKEN);
        return;
    }
    if (!production->has_head)
        queue_head(production);
    struct text piece = {.data = (const char *)production->piece.bytes,
                         .size = production->piece.size};
    void *owned = production->piece.bytes;
    production->piece = (struct byte_buffer){0};
    if (!request->has_no_body && piece.size > 0) {
        struct byte_buffer none = {0};
        answer_queue_piece(request, &none, piece, owned);
    } else {
        free(owned);
    }
    if (production->state == HTTP_PRODUCTION_END || request->has_no_body)
        end(production, HTTP_PRODUCTION_END);
    else
        produce_next(production);
}

static void job_done(struct job *job)
{
    piece_is_made((struct production *)((char *)job - offsetof(struct production, job)));
}

static void task_run(struct task *task)
{
    struct production *production =
        (struct production *)((char *)task - offsetof(struct production, task));
    make_piece(production);
    piece_is_made(production);
}

static void on_writable(void *context)
{
    produce_next(context);
}

/* The client is away: nobody will make room, so a production that waits for it ends here. */
static void on_gone(void *context)
{
    struct production *production = context;
    if (!production->is_working && answer_is_lost(production->request))
        end(production, HTTP_PRODUCTION_BROKEN);
}

static void produce_next(struct production *production)
{
    struct http_request *request = production->request;
    assert(!production->is_working);
    if (answer_is_lost(request)) {
        end(production, HTTP_PRODUCTION_BROKEN);
        return;
    }
    if (request->queued_bytes >= request->server->options.queued_bytes_max) {
        request->is_full = true;
        return;
    }
    production->is_working = true;
    if (loop_workers(request->server->loop) != NULL)
        scheduler_submit(request->server->scheduler, &production->job);
    else
        scheduler_defer(request->server->scheduler, &production->task);
}

void http_respond_produced(struct http_request *request, const struct http_response *response,
                           struct http_producer *producer)
{
    assert(response->body.size == 0);
    struct byte_buffer head = {0};
    answer_head_begin(request, response, &head);
    bool compress = answer_offers_compression(request, response, &head);
    struct production *production = arena_array(request->arena, 1, sizeof *production);
    if (production == NULL) {
        byte_buffer_clear(&head);
        producer->finished(producer);
        answer_cut(request);
        return;
    }
    *production = (struct production){
        .job = {.run = job_run, .done = job_done, .class = producer->class},
        .task.run = task_run,
        .request = request,
        .producer = producer,
        .head = head,
        .gzip = compress ? gzip_encoder_create() : NULL,
    };
    request->holds++;
    request->gone = on_gone;
    request->gone_context = production;
    request->writable = on_writable;
    request->writable_context = production;
    produce_next(production);
}
