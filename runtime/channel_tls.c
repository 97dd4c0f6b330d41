/*
 * TLS 1.3 with a pre-shared key, no certificates: both sides prove that they have the key, and
 * nobody else can listen. Not for keys in files (channel_key.c) nor for frames (channel.c).
 *
 * The library's own socket transport calls read and write, which raise SIGPIPE and block; ours does
 * neither. Key exchange is psk_dhe_ke, so that a key that leaks later does not open what was
 * recorded earlier (RFC 8446, 2.2).
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "runtime/channel_private.h"

#define TLS_RECORD_BYTES    16384
#define TLS_RECORDS_PER_KEY (1u << 23) /* AES-GCM: RFC 8446, 5.5 allows 2^24.5 */

static const unsigned char psk_identity[] = "ld-span";
static const unsigned char cipher_aes_128_gcm_sha256[] = {0x13, 0x01};

static struct lock contexts_lock;
static SSL_CTX *contexts[2]; /* client, server */
static BIO_METHOD *transport;

/* ---- transport ---- */

static int transport_result(BIO *bio, long result, int retry_flag)
{
    BIO_clear_retry_flags(bio);
    if (result == -EAGAIN || result == -EINTR) {
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    return result < 0 ? -1 : (int)result;
}

static int transport_read(BIO *bio, char *bytes, int size)
{
    struct channel *channel = BIO_get_data(bio);
    long result = kernel_call(SYS_recvfrom, channel->fd, (long)bytes, size, MSG_DONTWAIT, 0, 0);
    return transport_result(bio, result, BIO_FLAGS_READ);
}

static int transport_write(BIO *bio, const char *bytes, int size)
{
    struct channel *channel = BIO_get_data(bio);
    long result = kernel_call(SYS_sendto, channel->fd, (long)bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    return transport_result(bio, result, BIO_FLAGS_WRITE);
}

static long transport_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* ---- keys ---- */

static SSL_SESSION *psk_session(SSL *tls)
{
    const struct channel_key *key = SSL_get_app_data(tls);
    const SSL_CIPHER *cipher = SSL_CIPHER_find(tls, cipher_aes_128_gcm_sha256);
    SSL_SESSION *session = SSL_SESSION_new();
    if (session && cipher && SSL_SESSION_set1_master_key(session, key->bytes, sizeof key->bytes) &&
        SSL_SESSION_set_cipher(session, cipher) && SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

static int psk_use(SSL *tls, const EVP_MD *digest, const unsigned char **identity, size_t *size, SSL_SESSION **session)
{
    (void)digest; /* set only after a retry request, which can but name the one hash that we use */
    *session = psk_session(tls);
    *identity = psk_identity;
    *size = sizeof psk_identity - 1;
    return *session != NULL;
}

static int psk_find(SSL *tls, const unsigned char *identity, size_t size, SSL_SESSION **session)
{
    *session = NULL;
    if (size != sizeof psk_identity - 1 || memcmp(identity, psk_identity, size) != 0)
        return 1; /* the handshake goes on without a key, and fails for want of a certificate */
    *session = psk_session(tls);
    return *session != NULL;
}

static SSL_CTX *context_create(bool server)
{
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!context)
        return NULL;
    /* Received in large pieces: one recv for a record, or for several. */
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (server)
        SSL_CTX_set_psk_find_session_callback(context, psk_find);
    else
        SSL_CTX_set_psk_use_session_callback(context, psk_use);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") && SSL_CTX_set1_groups_list(context, "X25519") &&
        SSL_CTX_set_num_tickets(context, 0))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* Made on first use: most sessions never need it, and the library takes a millisecond to start. */
static SSL_CTX *context_get(bool server)
{
    lock_acquire(&contexts_lock);
    if (!transport) {
        /* No configuration file of this machine, and no clean-up at exit while other threads still
         * send. */
        OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
        BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "channel");
        if (method && BIO_meth_set_read(method, transport_read) && BIO_meth_set_write(method, transport_write) &&
            BIO_meth_set_ctrl(method, transport_control))
            transport = method;
        else
            BIO_meth_free(method);
    }
    if (transport && !contexts[server])
        contexts[server] = context_create(server);
    SSL_CTX *context = transport ? contexts[server] : NULL;
    lock_release(&contexts_lock);
    return context;
}

/* ---- handshake ---- */

static int handshake_failed(int status, const char *other, bool server, char why[WIRE_MESSAGE_BYTES])
{
    unsigned long error = ERR_peek_error();
    int reason = ERR_GET_REASON(error);
    bool closed =
        status == SSL_ERROR_SYSCALL || status == SSL_ERROR_ZERO_RETURN || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    const char *what = NULL;
    if (closed) {
        what = "it closed the connection during the handshake";
    } else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST) {
        what = server ? "it does not speak TLS" : "it uses no key, or is not spand (start spand with --key)";
    } else if (reason == SSL_R_BINDER_DOES_NOT_VERIFY || reason == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM ||
               reason == SSL_R_NO_SHARED_CIPHER || reason >= SSL_AD_REASON_OFFSET) {
        what = "it has another key (use the same key file on both)";
    }
    if (what)
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot agree on a key with %s: %s", other, what);
    else
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot agree on a key with %s: %s", other,
                 error ? ERR_reason_error_string(error) : "TLS failed");
    return closed ? -EPIPE : -EACCES;
}

static int handshake_run(struct channel *channel, bool server, uint64_t deadline, const char *other,
                         char why[WIRE_MESSAGE_BYTES])
{
    for (;;) {
        ERR_clear_error();
        int result = server ? SSL_accept(channel->tls) : SSL_connect(channel->tls);
        if (result == 1)
            return 0;
        int status = SSL_get_error(channel->tls, result);
        if (status != SSL_ERROR_WANT_READ && status != SSL_ERROR_WANT_WRITE)
            return handshake_failed(status, other, server, why);
        int ready = channel_poll(channel->fd, status == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
        if (ready <= 0) {
            snprintf(why, WIRE_MESSAGE_BYTES, "cannot agree on a key with %s: it did not answer in time", other);
            return ready < 0 ? ready : -ETIMEDOUT;
        }
    }
}

int tls_start(struct channel *channel, const struct channel_key *key, bool server, uint64_t deadline_ns,
              const char *other, char why[WIRE_MESSAGE_BYTES])
{
    SSL_CTX *context = context_get(server);
    SSL *tls = context ? SSL_new(context) : NULL;
    BIO *bio = tls ? BIO_new(transport) : NULL;
    if (!bio) {
        unsigned long reason = ERR_peek_error();
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot use TLS: %s",
                 reason ? ERR_reason_error_string(reason) : "no memory for it");
        SSL_free(tls);
        return -ENOMEM;
    }
    BIO_set_data(bio, channel);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls, bio, bio);
    SSL_set_app_data(tls, (void *)(uintptr_t)key);
    channel->tls = tls;
    int error = handshake_run(channel, server, deadline_ns, other, why);
    /* The key is needed only here and may go before the channel does. */
    SSL_set_app_data(tls, NULL);
    ERR_clear_error();
    /* What the library keeps for each thread would stay when a thread made by raw clone ends. */
    OPENSSL_thread_stop();
    return error;
}

void tls_end(struct channel *channel)
{
    /* Without a word to the other side: after a fork both processes have the connection. */
    SSL_free(channel->tls);
    channel->tls = NULL;
}

/* ---- records ---- */

static long record_result(struct channel *channel, int result)
{
    switch (SSL_get_error(channel->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_SSL: {
        bool ended = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
        ERR_clear_error();
        return ended ? -EPIPE : -EPROTO;
    }
    default:
        return -EPIPE;
    }
}

long tls_receive(struct channel *channel, void *bytes, size_t size)
{
    lock_acquire(&channel->tls_lock);
    int result = SSL_read(channel->tls, bytes, size < INT32_MAX ? (int)size : INT32_MAX);
    long received = result > 0 ? result : record_result(channel, result);
    lock_release(&channel->tls_lock);
    return received;
}

long tls_send(struct channel *channel, const void *bytes, size_t size)
{
    lock_acquire(&channel->tls_lock);
    int result = SSL_write(channel->tls, bytes, size < TLS_RECORD_BYTES ? (int)size : TLS_RECORD_BYTES);
    long sent = result > 0 ? result : record_result(channel, result);
    if (sent > 0 && ++channel->tls_records == TLS_RECORDS_PER_KEY) {
        channel->tls_records = 0;
        if (!SSL_key_update(channel->tls, SSL_KEY_UPDATE_NOT_REQUESTED))
            sent = -EPROTO;
    }
    lock_release(&channel->tls_lock);
    return sent;
}
