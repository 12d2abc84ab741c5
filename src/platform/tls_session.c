#include "tls_session.h"

#include <assert.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "tls_context.h"

enum { RECORD_BYTES = 16 * 1024 };

struct tls_session {
    SSL *ssl;
    BIO *incoming; /* the peer's ciphertext; owned by ssl, as is `outgoing` */
    BIO *outgoing;
};

enum error_code tls_session_create(struct tls_context *context, enum tls_side side,
                                   struct tls_session **session_out, struct error *error)
{
    assert(side == TLS_SERVER || tls_context_is_mutual(context));
    struct tls_session *session = calloc(1, sizeof *session);
    SSL *ssl = tls_context_session(context);
    BIO *incoming = BIO_new(BIO_s_mem());
    BIO *outgoing = BIO_new(BIO_s_mem());
    if (session == NULL || ssl == NULL || incoming == NULL || outgoing == NULL) {
        BIO_free(incoming);
        BIO_free(outgoing);
        SSL_free(ssl);
        free(session);
        ERR_clear_error();
        return error_set(error, ERROR_OUT_OF_MEMORY, "tls: out of memory");
    }
    BIO_set_mem_eof_return(incoming, -1); /* an empty BIO means wait, not end */
    SSL_set_bio(ssl, incoming, outgoing);
    if (side == TLS_CLIENT)
        SSL_set_connect_state(ssl);
    else
        SSL_set_accept_state(ssl);
    *session = (struct tls_session){.ssl = ssl, .incoming = incoming, .outgoing = outgoing};
    *session_out = session;
    return ERROR_NONE;
}

void tls_session_destroy(struct tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}

bool tls_session_feed(struct tls_session *session, const uint8_t *bytes, size_t size)
{
    assert(size <= INT_MAX);
    return BIO_write(session->incoming, bytes, (int)size) == (int)size;
}

/* What a call that returned `result` <= 0 means. */
static enum tls_progress explain(struct tls_session *session, int result, struct error *error)
{
    char reason[128];
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_WAITING;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        error_set(error, ERROR_IO, "tls: %s%s",
                  tls_session_is_established(session) ? "" : "handshake: ",
                  tls_reason(reason, sizeof reason));
        return TLS_FAILED;
    }
}

enum tls_progress tls_session_read(struct tls_session *session, uint8_t *target, size_t size,
                                   size_t *size_out, struct error *error)
{
    assert(size > 0);
    ERR_clear_error();
    int result = SSL_read_ex(session->ssl, target, size, size_out);
    return result == 1 ? TLS_PROGRESS : explain(session, result, error);
}

enum tls_progress tls_session_write(struct tls_session *session, const uint8_t *bytes, size_t size,
                                    size_t *size_out, struct error *error)
{
    assert(size > 0);
    ERR_clear_error();
    int result =
        SSL_write_ex(session->ssl, bytes, size < RECORD_BYTES ? size : RECORD_BYTES, size_out);
    return result == 1 ? TLS_PROGRESS : explain(session, result, error);
}

void tls_session_shutdown(struct tls_session *session)
{
    if (tls_session_is_established(session))
        SSL_shutdown(session->ssl); /* 0: the peer's own alert is still to come */
    ERR_clear_error();
}

bool tls_session_take(struct tls_session *session, struct byte_buffer *target)
{
    size_t pending = BIO_ctrl_pending(session->outgoing);
    if (pending == 0)
        return true;
    if (!byte_buffer_reserve(target, pending))
        return false;
    size_t taken = 0;
    if (BIO_read_ex(session->outgoing, target->bytes + target->size, pending, &taken) != 1)
        return false;
    assert(taken == pending);
    target->size += taken;
    return true;
}

bool tls_session_is_established(const struct tls_session *session)
{
    return SSL_is_init_finished(session->ssl);
}
