#include "tls_context.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct tls_context {
    pthread_mutex_t mutex; /* of `current` */
    SSL_CTX *current;
    char *certificate_path;
    char *key_path;
    char *client_ca_path; /* NULL: not mutual */
};

/* --- Reasons ----------------------------------------------------------------------------- */

const char *tls_reason(char *target, size_t target_bytes)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (reason != NULL)
        snprintf(target, target_bytes, "%s", reason);
    else if (code != 0)
        ERR_error_string_n(code, target, target_bytes);
    else
        snprintf(target, target_bytes, "unknown reason");
    ERR_clear_error();
    return target;
}

static enum error_code error_set_tls(struct error *error, const char *what, const char *path)
{
    char reason[128];
    unsigned long code = ERR_peek_error();
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return error_set(error, ERROR_OUT_OF_MEMORY, "tls: %s '%s': out of memory", what, path);
    return error_set(error, ERROR_INVALID, "tls: %s '%s': %s", what, path,
                     tls_reason(reason, sizeof reason));
}

/* OpenSSL's words for a file that is not there are poor: ask the system. */
static enum error_code check_readable(const char *what, const char *path, struct error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, errno, "tls: %s '%s'", what, path);
    close(descriptor);
    return ERROR_NONE;
}

/* --- Loading ----------------------------------------------------------------------------- */

static int choose_protocol(SSL *session, const unsigned char **chosen, unsigned char *chosen_size,
                           const unsigned char *offered, unsigned int offered_size, void *argument)
{
    (void)session;
    (void)argument;
    static const unsigned char SPOKEN[] = "\x08http/1.1";
    unsigned char *found;
    if (SSL_select_next_proto(&found, chosen_size, SPOKEN, sizeof SPOKEN - 1, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* go on without: the client may speak it all the same */
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static enum error_code load_identity(const struct tls_context *context, SSL_CTX *loaded,
                                     struct error *error)
{
    enum error_code code = check_readable("certificate", context->certificate_path, error);
    if (code != ERROR_NONE)
        return code;
    if (SSL_CTX_use_certificate_chain_file(loaded, context->certificate_path) != 1)
        return error_set_tls(error, "certificate", context->certificate_path);
    code = check_readable("key", context->key_path, error);
    if (code != ERROR_NONE)
        return code;
    if (SSL_CTX_use_PrivateKey_file(loaded, context->key_path, SSL_FILETYPE_PEM) != 1)
        return error_set_tls(error, "key", context->key_path);
    if (SSL_CTX_check_private_key(loaded) != 1)
        return error_set_tls(error, "key", context->key_path);
    return ERROR_NONE;
}

static enum error_code load_client_ca(const struct tls_context *context, SSL_CTX *loaded,
                                      struct error *error)
{
    const char *path = context->client_ca_path;
    if (path == NULL)
        return ERROR_NONE;
    enum error_code code = check_readable("client CA", path, error);
    if (code != ERROR_NONE)
        return code;
    if (SSL_CTX_load_verify_file(loaded, path) != 1)
        return error_set_tls(error, "client CA", path);
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL)
        return error_set_tls(error, "client CA", path);
    SSL_CTX_set_client_CA_list(loaded, names); /* takes them */
    SSL_CTX_set_verify(loaded, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ERROR_NONE;
}

static enum error_code load(const struct tls_context *context, SSL_CTX **loaded_out,
                            struct error *error)
{
    ERR_clear_error();
    SSL_CTX *loaded = SSL_CTX_new(TLS_method());
    if (loaded == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "tls: out of memory");
    SSL_CTX_set_min_proto_version(loaded, TLS1_2_VERSION);
    SSL_CTX_set_options(loaded, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(loaded, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(loaded, choose_protocol, NULL);
    /* Resumption with client certificates needs a name for what is resumed. */
    static const unsigned char NAME[] = "gnomon";
    SSL_CTX_set_session_id_context(loaded, NAME, sizeof NAME - 1);

    enum error_code code = load_identity(context, loaded, error);
    if (code == ERROR_NONE)
        code = load_client_ca(context, loaded, error);
    if (code != ERROR_NONE) {
        SSL_CTX_free(loaded);
        ERR_clear_error();
        return code;
    }
    *loaded_out = loaded;
    return ERROR_NONE;
}

/* --- Public ------------------------------------------------------------------------------ */

enum error_code tls_context_create(const struct tls_options *options,
                                   struct tls_context **context_out, struct error *error)
{
    assert(options->certificate_path != NULL && options->key_path != NULL);
    struct tls_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "tls: out of memory");
    pthread_mutex_init(&context->mutex, NULL);
    context->certificate_path = strdup(options->certificate_path);
    context->key_path = strdup(options->key_path);
    if (options->client_ca_path != NULL)
        context->client_ca_path = strdup(options->client_ca_path);
    enum error_code code;
    if (context->certificate_path == NULL || context->key_path == NULL ||
        (options->client_ca_path != NULL && context->client_ca_path == NULL))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "tls: out of memory");
    else
        code = load(context, &context->current, error);
    if (code != ERROR_NONE) {
        tls_context_destroy(context);
        return code;
    }
    *context_out = context;
    return ERROR_NONE;
}

void tls_context_destroy(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->current);
    pthread_mutex_destroy(&context->mutex);
    free(context->certificate_path);
    free(context->key_path);
    free(context->client_ca_path);
    free(context);
}

enum error_code tls_context_reload(struct tls_context *context, struct error *error)
{
    SSL_CTX *loaded;
    enum error_code code = load(context, &loaded, error);
    if (code != ERROR_NONE)
        return code;
    pthread_mutex_lock(&context->mutex);
    SSL_CTX *former = context->current;
    context->current = loaded;
    pthread_mutex_unlock(&context->mutex);
    SSL_CTX_free(former); /* sessions hold their own reference */
    return ERROR_NONE;
}

int64_t tls_context_expiry_s(struct tls_context *context)
{
    struct tm broken_down = {0};
    pthread_mutex_lock(&context->mutex);
    X509 *certificate = SSL_CTX_get0_certificate(context->current);
    int converted = ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &broken_down);
    pthread_mutex_unlock(&context->mutex);
    return converted == 1 ? (int64_t)timegm(&broken_down) : 0;
}

bool tls_context_is_mutual(const struct tls_context *context)
{
    return context->client_ca_path != NULL;
}

SSL *tls_context_session(struct tls_context *context)
{
    pthread_mutex_lock(&context->mutex);
    SSL *session = SSL_new(context->current);
    pthread_mutex_unlock(&context->mutex);
    return session;
}
