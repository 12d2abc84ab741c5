#include <assert.h>
#include <stdlib.h>

#include "answer.h"
#include "connection.h"
#include "http/gzip.h"
#include "platform/loop.h"
#include "request_state.h"
#include "server_state.h"

/* --- Constants --------------------------------------------------------------------------- */

enum {
    /* Half a millisecond of the loop's time at level 1; larger bodies go to a worker. */
    COMPRESS_ON_LOOP_BYTES = 32 * 1024,
    /* Copied behind the head: one vector, and the request ends without waiting for the client. */
    COPY_BYTES = 4 * 1024,
};

/* --- Whole answers ----------------------------------------------------------------------- */

/* A large body on its way through a worker. In the request's arena. */
struct compression {
    struct job job;
    struct http_request *request;
    struct byte_buffer head;
    struct text body;
    void *owned;
    struct byte_buffer compressed; /* failed: send the body as it is */
};

static void send_whole(struct http_request *request, struct byte_buffer *head, struct text body,
                       void *owned, enum answer_coding coding)
{
    answer_head_end(request, head, FRAMING_LENGTH, body.size, coding);
    if (request->has_no_body)
        body.size = 0;
    if (body.size <= COPY_BYTES) {
        byte_buffer_append(head, body.data, body.size);
        free(owned);
        owned = NULL;
        body = (struct text){0};
    }
    answer_queue(request, head, body, owned);
    answer_finish(request);
}

static void send_compressed(struct http_request *request, struct byte_buffer *head,
                            struct byte_buffer *compressed)
{
    struct text body = {.data = (const char *)compressed->bytes, .size = compressed->size};
    send_whole(request, head, body, compressed->bytes, CODING_GZIP);
}

static void compression_run(struct job *job)
{
    struct compression *compression = (struct compression *)job;
    struct gzip_encoder *encoder = gzip_encoder_create();
    if (encoder == NULL) {
        compression->compressed.failed = true;
        return;
    }
    gzip_encode(encoder, compression->body, GZIP_END, &compression->compressed);
    gzip_encoder_destroy(encoder);
}

static void compression_done(struct job *job)
{
    struct compression *compression = (struct compression *)job;
    struct http_request *request = compression->request;
    if (compression->compressed.failed) {
        byte_buffer_clear(&compression->compressed);
        send_whole(request, &compression->head, compression->body, compression->owned, CODING_NONE);
    } else {
        free(compression->owned);
        send_compressed(request, &compression->head, &compression->compressed);
    }
    request_release(request);
}

/* False when it has to be sent as it is. */
static bool compress_on_loop(struct http_request *request, struct byte_buffer *head,
                             struct text body, void *owned)
{
    struct http_server *server = request->server;
    struct byte_buffer compressed = {0};
    if (server->gzip == NULL)
        server->gzip = gzip_encoder_create();
    if (server->gzip == NULL)
        return false;
    gzip_encode(server->gzip, body, GZIP_END, &compressed);
    if (compressed.failed) {
        byte_buffer_clear(&compressed);
        gzip_encoder_destroy(server->gzip); /* in the middle of a stream */
        server->gzip = NULL;
        return false;
    }
    free(owned);
    send_compressed(request, head, &compressed);
    return true;
}

static bool compress_on_worker(struct http_request *request, struct byte_buffer *head,
                               struct text body, void *owned)
{
    struct compression *compression = arena_array(request->arena, 1, sizeof *compression);
    if (compression == NULL)
        return false;
    *compression = (struct compression){
        .job = {.run = compression_run, .done = compression_done, .class = JOB_QUERY},
        .request = request,
        .head = *head,
        .body = body,
        .owned = owned,
    };
    request->holds++;
    scheduler_submit(request->server->scheduler, &compression->job);
    return true;
}

void http_respond(struct http_request *request, const struct http_response *response)
{
    const struct http_server *server = request->server;
    void *owned = response->body_life == HTTP_BODY_OWNED ? (void *)response->body.data : NULL;
    struct byte_buffer head = {0};
    answer_head_begin(request, response, &head);
    bool is_worth_it = response->body.size >= server->options.compress_bytes_min &&
                       answer_offers_compression(request, response, &head);
    if (is_worth_it && !answer_is_lost(request)) {
        bool is_small =
            response->body.size <= COMPRESS_ON_LOOP_BYTES || loop_workers(server->loop) == NULL;
        if (is_small ? compress_on_loop(request, &head, response->body, owned)
                     : compress_on_worker(request, &head, response->body, owned))
            return;
    }
    send_whole(request, &head, response->body, owned, CODING_NONE);
}

/* --- Pieces from the loop ---------------------------------------------------------------- */

void http_response_begin(struct http_request *request, const struct http_response *response)
{
    assert(response->body.size == 0);
    struct byte_buffer head = {0};
    answer_head_begin(request, response, &head);
    answer_head_end(request, &head, answer_framing_of(request), 0, CODING_NONE);
    answer_queue(request, &head, (struct text){0}, NULL);
}

bool http_response_write(struct http_request *request, struct text piece, enum http_body_life life)
{
    assert(request->answer == ANSWER_BEGUN);
    void *owned = life == HTTP_BODY_OWNED ? (void *)piece.data : NULL;
    if (request->has_no_body || piece.size == 0) {
        free(owned);
        return !answer_is_lost(request);
    }
    struct byte_buffer copy = {0};
    if (owned == NULL) {
        byte_buffer_append(&copy, piece.data, piece.size);
        piece.data = owned = copy.bytes;
    }
    struct byte_buffer head = {.failed = copy.failed};
    answer_queue_piece(request, &head, piece, owned);
    if (answer_is_lost(request))
        return false;
    request->is_full = request->queued_bytes >= request->server->options.queued_bytes_max;
    return !request->is_full;
}

void http_response_on_writable(struct http_request *request, void (*writable)(void *context),
                               void *context)
{
    request->writable = writable;
    request->writable_context = context;
}

size_t http_response_queued_bytes(const struct http_request *request)
{
    return request->queued_bytes;
}

void http_response_end(struct http_request *request)
{
    answer_finish(request);
}

void http_response_abort(struct http_request *request)
{
    answer_cut(request);
}
