#include "platform/stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "stream_state.h"
#include "tls_session.h"

/*
 * A turn's writes are collected in a queue and leave together in a deferred task, `flush`: first
 * with a system call that takes what fits the socket's buffer, then with a libuv write of a
 * bounded piece that waits for room. While such a write is under way (`waiting`) the queue only
 * grows. With TLS the queue is encrypted into `cipher` a bounded amount at a time, and `cipher`
 * is what is sent.
 */

/* --- Constants and types ----------------------------------------------------------------- */

enum {
    FLUSH_VECTORS_MAX = 64,
    WAITING_BYTES_MAX = 64 * 1024, /* progress is visible once a piece */
    CIPHER_BYTES_MAX = 128 * 1024,
    RECORD_BYTES = 16 * 1024, /* what one TLS record takes */
    HANDSHAKE_TIMEOUT_MS_DEFAULT = 10000,
    KEEPALIVE_S = 60,
};

struct stream {
    uv_tcp_t tcp;
    struct loop *loop;
    const struct stream_events *events; /* NULL until stream_begin */
    void *context;

    struct stream_write *first; /* not done, in order */
    struct stream_write *last;
    size_t queued_bytes; /* of them, not yet sent or encrypted */
    uint64_t sent_bytes;
    uint64_t told_bytes; /* of them, by the event `sent` */
    uv_write_t write;
    size_t waiting_bytes; /* under way in `write`; 0: nothing is */
    uv_shutdown_t shutdown;

    struct tls_session *tls; /* NULL: plain */
    struct byte_buffer cipher;
    size_t cipher_position; /* bytes of it sent */
    struct timer handshake;
    uint64_t handshake_timeout_ms;

    struct task flush;
    struct task pump;   /* reads what is decrypted after a pause */
    struct task finish; /* after other tasks: close the handle */
    enum stream_side side;
    bool told_connected;
    bool flush_deferred;
    bool pump_deferred;
    bool paused;
    bool ended;
    bool failed;
    bool closing;
    bool shutdown_wanted;
    bool shutdown_sent;

    size_t remote_size;
    char remote[STREAM_ADDRESS_MAX];
};

static struct scheduler *scheduler_of(struct stream *stream)
{
    return loop_scheduler(stream->loop);
}

static void flush_defer(struct stream *stream)
{
    if (stream->flush_deferred || stream->closing || stream->failed)
        return;
    stream->flush_deferred = true;
    scheduler_defer(scheduler_of(stream), &stream->flush);
}

static void fail(struct stream *stream, const struct error *error)
{
    if (stream->failed || stream->closing)
        return;
    stream->failed = true;
    uv_read_stop((uv_stream_t *)&stream->tcp);
    scheduler_timer_stop(scheduler_of(stream), &stream->handshake);
    stream->events->failed(stream->context, error);
}

static void fail_uv(struct stream *stream, int status)
{
    struct error error;
    error_set(&error, status == UV_ECONNRESET || status == UV_EPIPE ? ERROR_CLOSED : ERROR_IO,
              "connection: %s", uv_strerror(status));
    fail(stream, &error);
}

static void end(struct stream *stream)
{
    if (stream->ended || stream->failed || stream->closing)
        return;
    stream->ended = true;
    uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->events->ended(stream->context);
}

/* --- Writing ----------------------------------------------------------------------------- */

/* `size` bytes of the queue are sent or encrypted; writes that are complete are done. */
static void advance(struct stream *stream, size_t size)
{
    static const struct error none = {.code = ERROR_NONE};
    assert(size <= stream->queued_bytes);
    stream->queued_bytes -= size;
    for (;;) {
        struct stream_write *write = stream->first;
        if (write == NULL)
            return;
        while (write->vector_position < write->vector_count) {
            size_t left = write->vectors[write->vector_position].size - write->byte_position;
            if (size < left) {
                write->byte_position += size;
                return;
            }
            size -= left;
            write->vector_position++;
            write->byte_position = 0;
        }
        stream->first = write->next;
        if (stream->first == NULL)
            stream->last = NULL;
        write->done(write, &none);
    }
}

/* The bytes to send next, at most `size_max` of them; returns the number of vectors. */
static unsigned gather(struct stream *stream, size_t size_max, uv_buf_t *buffers, size_t *size_out)
{
    size_t size = 0;
    unsigned count = 0;
    if (stream->tls != NULL) {
        size = stream->cipher.size - stream->cipher_position;
        if (size > size_max)
            size = size_max;
        buffers[0] =
            uv_buf_init((char *)stream->cipher.bytes + stream->cipher_position, (unsigned)size);
        *size_out = size;
        return size > 0 ? 1 : 0;
    }
    for (struct stream_write *write = stream->first; write != NULL; write = write->next) {
        size_t skip = write->byte_position;
        for (size_t i = write->vector_position; i < write->vector_count; i++) {
            size_t left = write->vectors[i].size - skip;
            if (count == FLUSH_VECTORS_MAX || size == size_max)
                goto out;
            if (left > size_max - size)
                left = size_max - size;
            if (left > 0)
                buffers[count++] =
                    uv_buf_init((char *)write->vectors[i].bytes + skip, (unsigned)left);
            size += left;
            skip = 0;
        }
    }
out:
    *size_out = size;
    return count;
}

static void sent(struct stream *stream, size_t size)
{
    stream->sent_bytes += size;
    if (stream->tls == NULL) {
        advance(stream, size);
        return;
    }
    stream->cipher_position += size;
    if (stream->cipher_position == stream->cipher.size) {
        byte_buffer_reset(&stream->cipher);
        stream->cipher_position = 0;
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct stream *stream = request->data;
    size_t size = stream->waiting_bytes;
    stream->waiting_bytes = 0;
    if (stream->closing)
        return;
    if (status < 0) {
        fail_uv(stream, status);
        return;
    }
    sent(stream, size);
    flush_defer(stream);
}

/*
 * The next bytes of the queue, at most a record of them: where they are when the next vector alone
 * fills it, otherwise gathered, so that a header does not become a record of its own.
 */
static size_t next_record(struct stream *stream, const uint8_t **bytes_out)
{
    uint8_t *scratch = loop_scratch(stream->loop);
    size_t size = 0;
    _Static_assert((size_t)RECORD_BYTES <= (size_t)LOOP_SCRATCH_BYTES,
                   "a record is gathered there");
    *bytes_out = scratch;
    for (struct stream_write *write = stream->first; write != NULL; write = write->next) {
        size_t skip = write->byte_position;
        for (size_t i = write->vector_position; i < write->vector_count; i++, skip = 0) {
            const uint8_t *bytes = (const uint8_t *)write->vectors[i].bytes + skip;
            size_t left = write->vectors[i].size - skip;
            if (size == 0 && left >= RECORD_BYTES) {
                *bytes_out = bytes;
                return RECORD_BYTES;
            }
            if (left > RECORD_BYTES - size)
                left = RECORD_BYTES - size;
            if (left > 0)
                memcpy(scratch + size, bytes, left);
            size += left;
            if (size == RECORD_BYTES)
                return size;
        }
    }
    return size;
}

/* Encrypt the queue until there is enough to send. */
static void encrypt(struct stream *stream)
{
    struct error error;
    /* Nothing may move the bytes that the system is about to read. */
    assert(stream->waiting_bytes == 0);
    while (!stream->closing && stream->first != NULL && stream->cipher.size < CIPHER_BYTES_MAX) {
        const uint8_t *bytes;
        size_t size = next_record(stream, &bytes);
        size_t taken = 0;
        enum tls_progress progress = TLS_PROGRESS;
        if (size > 0)
            progress = tls_session_write(stream->tls, bytes, size, &taken, &error);
        if (progress == TLS_FAILED)
            fail(stream, &error);
        if (progress != TLS_PROGRESS)
            break;
        if (!tls_session_take(stream->tls, &stream->cipher))
            break;
        advance(stream, taken);
    }
    if (!tls_session_take(stream->tls, &stream->cipher)) {
        error_set(&error, ERROR_OUT_OF_MEMORY, "tls: out of memory");
        fail(stream, &error);
    }
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status; /* the peer has gone already: reading tells */
}

/* Once everything is sent. */
static void send_shutdown(struct stream *stream)
{
    if (!stream->shutdown_wanted || stream->shutdown_sent || stream->first != NULL)
        return;
    stream->shutdown_sent = true;
    if (stream->tls != NULL) {
        tls_session_shutdown(stream->tls);
        flush_defer(stream); /* the alert, then the end below */
    } else {
        uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shut_down);
    }
}

static void flush(struct stream *stream)
{
    while (!stream->closing && !stream->failed && stream->waiting_bytes == 0) {
        uv_buf_t buffers[FLUSH_VECTORS_MAX];
        size_t size;
        if (stream->tls != NULL)
            encrypt(stream);
        else
            advance(stream, 0); /* writes of nothing */
        if (stream->closing || stream->failed)
            return;
        unsigned count = gather(stream, SIZE_MAX, buffers, &size);
        if (count == 0)
            break;
        int result = uv_try_write((uv_stream_t *)&stream->tcp, buffers, count);
        if (result < 0 && result != UV_EAGAIN) {
            fail_uv(stream, result);
            return;
        }
        if (result > 0)
            sent(stream, (size_t)result);
        if (result >= 0 && (size_t)result == size)
            continue;
        if (stream->closing)
            return;
        /* The socket's buffer is full. */
        count = gather(stream, WAITING_BYTES_MAX, buffers, &size);
        result = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, buffers, count, on_written);
        if (result < 0)
            fail_uv(stream, result);
        else
            stream->waiting_bytes = size;
        return;
    }
    if (stream->closing || stream->failed || stream->waiting_bytes > 0)
        return;
    if (stream->tls != NULL && stream->shutdown_sent && stream->shutdown.handle == NULL)
        uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shut_down);
    send_shutdown(stream);
}

static void flush_run(struct task *task)
{
    struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, flush));
    stream->flush_deferred = false;
    flush(stream);
    if (stream->closing || stream->failed || stream->told_bytes == stream->sent_bytes)
        return;
    stream->told_bytes = stream->sent_bytes;
    if (stream->events != NULL && stream->events->sent != NULL)
        stream->events->sent(stream->context);
}

/* --- Reading ----------------------------------------------------------------------------- */

/* Once, when an outgoing connection stands. */
static void tell_connected(struct stream *stream)
{
    if (stream->told_connected || stream->side != STREAM_CLIENT || stream->closing ||
        stream->failed || (stream->tls != NULL && !tls_session_is_established(stream->tls)))
        return;
    stream->told_connected = true;
    if (stream->events->connected != NULL)
        stream->events->connected(stream->context);
}

/* Hand out what is decrypted, until there is no more or the owner has no room. */
static void pump(struct stream *stream)
{
    struct error error;
    while (!stream->closing && !stream->failed && !stream->ended && !stream->paused) {
        uint8_t *target = NULL;
        size_t size = 0;
        stream->events->allocate(stream->context, &target, &size);
        if (size == 0) {
            stream_pause(stream);
            return;
        }
        size_t received = 0;
        enum tls_progress progress = tls_session_read(stream->tls, target, size, &received, &error);
        tell_connected(stream);
        if (stream->closing)
            return;
        switch (progress) {
        case TLS_PROGRESS:
            stream->events->received(stream->context, received);
            continue;
        case TLS_WAITING:
            return;
        case TLS_ENDED:
            end(stream);
            return;
        case TLS_FAILED:
            /* Let the peer know why, if the socket takes it. */
            flush(stream);
            fail(stream, &error);
            return;
        }
    }
}

static void pump_run(struct task *task)
{
    struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, pump));
    stream->pump_deferred = false;
    if (stream->tls != NULL)
        pump(stream);
    else
        tell_connected(stream);
    flush_defer(stream);
}

static void pump_defer(struct stream *stream)
{
    if (stream->pump_deferred)
        return;
    stream->pump_deferred = true;
    scheduler_defer(scheduler_of(stream), &stream->pump);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct stream *stream = handle->data;
    if (stream->tls != NULL) {
        *buffer = uv_buf_init((char *)loop_scratch(stream->loop), LOOP_SCRATCH_BYTES);
        return;
    }
    uint8_t *target = NULL;
    size_t size = 0;
    stream->events->allocate(stream->context, &target, &size);
    *buffer = uv_buf_init((char *)target, size > INT32_MAX ? INT32_MAX : (unsigned)size);
}

static void on_cipher(struct stream *stream, const uint8_t *bytes, size_t size)
{
    if (!tls_session_feed(stream->tls, bytes, size)) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "tls: out of memory");
        fail(stream, &error);
        return;
    }
    pump(stream);
    if (tls_session_is_established(stream->tls))
        scheduler_timer_stop(scheduler_of(stream), &stream->handshake);
    flush_defer(stream);
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buffer)
{
    struct stream *stream = handle->data;
    if (stream->closing || stream->failed)
        return;
    if (count == UV_ENOBUFS)
        stream_pause(stream);
    else if (count == UV_EOF)
        end(stream);
    else if (count < 0)
        fail_uv(stream, (int)count);
    else if (count > 0 && stream->tls != NULL)
        on_cipher(stream, (const uint8_t *)buffer->base, (size_t)count);
    else if (count > 0)
        stream->events->received(stream->context, (size_t)count);
}

static void on_handshake_timeout(struct timer *timer)
{
    struct stream *stream = (struct stream *)((char *)timer - offsetof(struct stream, handshake));
    struct error error;
    error_set(&error, ERROR_TIMEOUT, "tls: handshake: no end in %llu ms",
              (unsigned long long)stream->handshake_timeout_ms);
    fail(stream, &error);
}

/* --- Life -------------------------------------------------------------------------------- */

static void stream_free(struct stream *stream)
{
    tls_session_destroy(stream->tls);
    byte_buffer_clear(&stream->cipher);
    free(stream);
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    struct error error;
    error_set(&error, ERROR_CLOSED, "connection: closed");
    while (stream->first != NULL) {
        struct stream_write *write = stream->first;
        stream->first = write->next;
        write->done(write, &error);
    }
    if (stream->events != NULL)
        stream->events->closed(stream->context);
    stream_free(stream);
}

static void on_dropped(uv_handle_t *handle)
{
    stream_free(handle->data);
}

static void finish_run(struct task *task)
{
    struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, finish));
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

size_t stream_address_format(const struct sockaddr_storage *address, char *target,
                             size_t target_bytes)
{
    char host[INET6_ADDRSTRLEN] = "";
    int written;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        written = snprintf(target, target_bytes, "%s:%u", host, ntohs(v4->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        written = snprintf(target, target_bytes, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        written = snprintf(target, target_bytes, "unknown");
    }
    assert(written > 0 && (size_t)written < target_bytes);
    return (size_t)written;
}

/* Without a socket yet. */
static enum error_code stream_create(struct loop *loop, uint64_t handshake_timeout_ms,
                                     struct stream **stream_out, struct error *error)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "stream: out of memory");
    stream->loop = loop;
    stream->flush.run = flush_run;
    stream->pump.run = pump_run;
    stream->finish.run = finish_run;
    stream->handshake = (struct timer){.fire = on_handshake_timeout, .heap_index = TIMER_IDLE};
    stream->handshake_timeout_ms =
        handshake_timeout_ms > 0 ? handshake_timeout_ms : HANDSHAKE_TIMEOUT_MS_DEFAULT;
    int status = uv_tcp_init(loop_uv(loop), &stream->tcp);
    if (status < 0) {
        free(stream);
        return error_set_uv(error, status, "stream");
    }
    stream->tcp.data = stream->write.data = stream;
    *stream_out = stream;
    return ERROR_NONE;
}

static void stream_connected(struct stream *stream)
{
    uv_tcp_nodelay(&stream->tcp, 1);
    uv_tcp_keepalive(&stream->tcp, 1, KEEPALIVE_S);
    struct sockaddr_storage address = {0};
    int address_bytes = sizeof address;
    uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&address, &address_bytes);
    stream->remote_size = stream_address_format(&address, stream->remote, sizeof stream->remote);
}

enum error_code stream_accept(struct loop *loop, uv_stream_t *listening, struct tls_context *tls,
                              uint64_t handshake_timeout_ms, struct stream **stream_out,
                              struct error *error)
{
    struct stream *stream;
    enum error_code code = stream_create(loop, handshake_timeout_ms, &stream, error);
    if (code != ERROR_NONE)
        return code;
    int status = uv_accept(listening, (uv_stream_t *)&stream->tcp);
    if (status < 0)
        code = error_set_uv(error, status, "accept");
    else if (tls != NULL)
        code = tls_session_create(tls, TLS_SERVER, &stream->tls, error);
    if (code != ERROR_NONE) {
        uv_close((uv_handle_t *)&stream->tcp, on_dropped);
        return code;
    }
    stream_connected(stream);
    *stream_out = stream;
    return ERROR_NONE;
}

enum error_code stream_adopt(struct loop *loop, const struct stream_socket *socket,
                             struct stream **stream_out, struct error *error)
{
    struct stream *stream;
    enum error_code code = stream_create(loop, socket->tls_handshake_timeout_ms, &stream, error);
    if (code != ERROR_NONE) {
        close(socket->descriptor);
        return code;
    }
    stream->side = socket->side;
    int status = uv_tcp_open(&stream->tcp, socket->descriptor);
    if (status < 0) {
        close(socket->descriptor);
        code = error_set_uv(error, status, "stream");
    } else if (socket->tls != NULL) {
        code =
            tls_session_create(socket->tls, socket->side == STREAM_CLIENT ? TLS_CLIENT : TLS_SERVER,
                               &stream->tls, error);
    }
    if (code != ERROR_NONE) {
        uv_close((uv_handle_t *)&stream->tcp, on_dropped);
        return code;
    }
    /* Only a wish: where it is unknown the system keeps more. */
    if (socket->unsent_bytes_max > 0)
        setsockopt(socket->descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &socket->unsent_bytes_max,
                   sizeof socket->unsent_bytes_max);
    stream_connected(stream);
    *stream_out = stream;
    return ERROR_NONE;
}

/* The handle keeps its descriptor until it is closed, which does not end the connection. */
enum error_code stream_release(struct stream *stream, int *descriptor_out, struct error *error)
{
    assert(stream->tls == NULL && stream->first == NULL && stream->sent_bytes == 0);
    uv_os_fd_t descriptor;
    int status = uv_fileno((uv_handle_t *)&stream->tcp, &descriptor);
    if (status < 0)
        return error_set_uv(error, status, "stream");
    uv_read_stop((uv_stream_t *)&stream->tcp);
    int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return error_set_errno(error, errno, "stream");
    *descriptor_out = copy;
    return ERROR_NONE;
}

/* --- Public ------------------------------------------------------------------------------ */

void stream_begin(struct stream *stream, const struct stream_events *events, void *context)
{
    assert(stream->events == NULL && !stream->closing);
    stream->events = events;
    stream->context = context;
    uv_read_start((uv_stream_t *)&stream->tcp, on_allocate, on_read);
    if (stream->tls != NULL)
        scheduler_timer_start(scheduler_of(stream), &stream->handshake,
                              stream->handshake_timeout_ms);
    if (stream->side == STREAM_CLIENT)
        pump_defer(stream); /* begins the handshake */
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    uv_read_stop((uv_stream_t *)&stream->tcp);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused || stream->closing || stream->failed)
        return;
    stream->paused = false;
    if (stream->ended)
        return;
    uv_read_start((uv_stream_t *)&stream->tcp, on_allocate, on_read);
    /* What came before the pause may be waiting decrypted, where no socket event shows it. */
    if (stream->tls != NULL)
        pump_defer(stream);
}

void stream_write(struct stream *stream, struct stream_write *write)
{
    assert(write->vector_count <= STREAM_VECTORS_MAX && write->done != NULL);
    assert(!stream->shutdown_wanted);
    write->next = NULL;
    write->vector_position = 0;
    write->byte_position = 0;
    for (size_t i = 0; i < write->vector_count; i++)
        stream->queued_bytes += write->vectors[i].size;
    if (stream->first == NULL)
        stream->first = write;
    else
        stream->last->next = write;
    stream->last = write;
    flush_defer(stream);
}

void stream_shutdown(struct stream *stream)
{
    stream->shutdown_wanted = true;
    flush_defer(stream);
}

void stream_close(struct stream *stream)
{
    assert(!stream->closing);
    stream->closing = true;
    uv_read_stop((uv_stream_t *)&stream->tcp);
    scheduler_timer_stop(scheduler_of(stream), &stream->handshake);
    /* Behind the tasks that are deferred already and would come to a freed stream. */
    scheduler_defer(scheduler_of(stream), &stream->finish);
}

struct text stream_remote_address(const struct stream *stream)
{
    return (struct text){.data = stream->remote, .size = stream->remote_size};
}

size_t stream_queued_bytes(const struct stream *stream)
{
    return stream->queued_bytes + stream->cipher.size - stream->cipher_position;
}

uint64_t stream_sent_bytes(const struct stream *stream)
{
    return stream->sent_bytes;
}

bool stream_is_encrypted(const struct stream *stream)
{
    return stream->tls != NULL;
}
