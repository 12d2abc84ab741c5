/*
 * answer - heads, framing and queued bytes of answers.
 */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include "base/bytes.h"
#include "request_state.h"

/* Answer `status` in the words of the server's hooks. `reason` is static or in the arena. */
void answer_error(struct http_request *request, unsigned status, const char *reason);

/* "100 Continue". */
void answer_continue(struct http_request *request);

/* Begin: status line and headers without those that depend on the body. */
void answer_head_begin(struct http_request *request, const struct http_response *response,
                       struct byte_buffer *head);

enum answer_coding { CODING_NONE, CODING_GZIP };

/* End the head of a body of `size` bytes (FRAMING_LENGTH) or of unknown size. */
void answer_head_end(struct http_request *request, struct byte_buffer *head,
                     enum answer_framing framing, uint64_t size, enum answer_coding coding);

/* What a body of unknown size is framed with, as the client speaks. */
enum answer_framing answer_framing_of(const struct http_request *request);

/* Whether the body of this answer may be compressed for this client; when it depends on the client,
 * `head` says so to caches. */
bool answer_offers_compression(struct http_request *request, const struct http_response *response,
                               struct byte_buffer *head);

/*
 * Queue head and body in one write; both belong to the output afterwards (`owned` is freed, NULL
 * when the body is borrowed). Either may be empty. When the connection is gone they are dropped.
 */
void answer_queue(struct http_request *request, struct byte_buffer *head, struct text body,
                  void *owned);

/* As answer_queue, framed as a chunk when the answer is chunked. */
void answer_queue_piece(struct http_request *request, struct byte_buffer *head, struct text body,
                        void *owned);

/* The body is complete: end the framing, let the connection go on. */
void answer_finish(struct http_request *request);

/* Cut the connection in the middle of the answer. */
void answer_cut(struct http_request *request);

/* Whether what is queued has no reader any more. */
bool answer_is_lost(const struct http_request *request);

#endif
