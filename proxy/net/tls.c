/*
 * TLS over OpenSSL. A BIO of our own lies between OpenSSL and the stream: it reads from the bytes that were fed and writes
 * to the buffer that the caller brought, so OpenSSL never touches a socket and an idle connection holds no buffers.
 * Contexts: control thread; connections: the thread of their stream.
 * Invariant: conn->out is set only inside a call; OpenSSL's queue of errors is empty between calls.
 */
#include "proxy/net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "proxy/base/mem.h"

/* The one protocol that ALPN knows here (manual, 55.2.10), as a list of one: its length, its name. */
static const uint8_t alpn_list[] = "\x0apostgresql";
#define ALPN_LIST_BYTES (sizeof(alpn_list) - 1)

/* How long a client may come back without a full handshake; a reload of the certificates ends it at once. */
#define SESSION_SECONDS 300

struct sw_tls {
	SSL_CTX *ctx;
	bool must_match;
	_Atomic int refs;
};

struct sw_tls_conn {
	SSL *ssl;
	struct sw_tls *tls;
	X509 *peer;             /* a reference, taken when the handshake is over */
	const uint8_t *in;      /* fed and not used yet */
	size_t in_len;
	struct sw_buf *out;     /* the caller's, inside a call */
	char *reason;
	bool has_failed, is_secure;
};

/* ---- the BIO */

static pthread_once_t bio_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *bio_method;

static int bio_write(BIO *bio, const char *bytes, int len)
{
	struct sw_tls_conn *conn = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0 || !conn->out || sw_buf_append(conn->out, bytes, (size_t)len) != SW_OK)
		return -1;
	return len;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
	struct sw_tls_conn *conn = BIO_get_data(bio);
	size_t some = conn->in_len < (size_t)len ? conn->in_len : (size_t)len;

	BIO_clear_retry_flags(bio);
	if (some == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(bytes, conn->in, some);
	conn->in += some;
	conn->in_len -= some;
	return (int)some;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static void make_bio_method(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "seawall");
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* ---- contexts */

static const struct {
	const char *name;
	uint64_t option; /* that turns it off */
} versions[] = {{"tlsv1.0", SSL_OP_NO_TLSv1}, {"tlsv1.1", SSL_OP_NO_TLSv1_1}, {"tlsv1.2", SSL_OP_NO_TLSv1_2},
	{"tlsv1.3", SSL_OP_NO_TLSv1_3}};
#define VERSION_COUNT (sizeof(versions) / sizeof(versions[0]))

/* The options that turn everything off that the list does not name; 0 where it names what nobody knows. */
static uint64_t versions_off(const char *protocols)
{
	uint64_t off = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3;
	const char *at = protocols;

	if (!*protocols || strcasecmp(protocols, "secure") == 0)
		return SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	if (strcasecmp(protocols, "all") == 0)
		return SSL_OP_NO_SSLv3;
	while (*at) {
		size_t len = strcspn(at, ", "), i;

		for (i = 0; i < VERSION_COUNT; i++)
			if (strlen(versions[i].name) == len && strncasecmp(versions[i].name, at, len) == 0)
				break;
		if (i == VERSION_COUNT)
			return 0;
		off &= ~versions[i].option;
		at += len;
		at += strspn(at, ", ");
	}
	return off | SSL_OP_NO_SSLv3;
}

bool sw_tls_protocols_are_known(const char *protocols)
{
	return versions_off(protocols) != 0;
}

static const char *const libpq_names[VERSION_COUNT] = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"};

const char *sw_tls_lowest_protocol(const char *protocols)
{
	uint64_t off = versions_off(protocols);
	size_t i = 0;

	while (i + 1 < VERSION_COUNT && off & versions[i].option)
		i++;
	return libpq_names[i];
}

const char *sw_tls_highest_protocol(const char *protocols)
{
	uint64_t off = versions_off(protocols);
	size_t i = VERSION_COUNT - 1;

	while (i > 0 && off & versions[i].option)
		i--;
	return libpq_names[i];
}

static const char *last_error(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : "no reason is known";
}

static bool explain(char why[SW_TLS_WHY_MAX], const char *what, const char *name, const char *advice)
{
	snprintf(why, SW_TLS_WHY_MAX, "%s \"%s\": %s: %s", what, name, last_error(), advice);
	ERR_clear_error();
	return false;
}

/* Nobody can type a passphrase into a running server. */
static int no_passphrase(char *text, int size, int is_writing, void *arg)
{
	(void)text;
	(void)size;
	(void)is_writing;
	(void)arg;
	return 0;
}

/* PostgreSQL's rule: the owner alone may read it, or, where root owns it, a group too. */
static bool check_key_mode(const char *path, char why[SW_TLS_WHY_MAX])
{
	struct stat status;

	if (stat(path, &status) != 0) {
		snprintf(why, SW_TLS_WHY_MAX, "the key file \"%s\" cannot be read: check that it is there and who may read it", path);
		return false;
	}
	if (status.st_mode & (status.st_uid == 0 ? 037 : 077)) {
		snprintf(why, SW_TLS_WHY_MAX,
			"the key file \"%s\" can be read by others: chmod 600, or 640 where root owns it", path);
		return false;
	}
	return true;
}

static bool use_files(SSL_CTX *ctx, const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX])
{
	if (*options->cert_file && SSL_CTX_use_certificate_chain_file(ctx, options->cert_file) != 1)
		return explain(why, "the certificate file", options->cert_file, "it has to be PEM, our own certificate first");
	if (*options->key_file) {
		if (!check_key_mode(options->key_file, why))
			return false;
		if (SSL_CTX_use_PrivateKey_file(ctx, options->key_file, SSL_FILETYPE_PEM) != 1)
			return explain(why, "the key file", options->key_file, "it has to be PEM without a passphrase, the certificate's key");
		if (SSL_CTX_check_private_key(ctx) != 1)
			return explain(why, "the key file", options->key_file, "it is not the key of the certificate");
	}
	if (*options->ca_file) {
		STACK_OF(X509_NAME) *names;

		if (SSL_CTX_load_verify_locations(ctx, options->ca_file, NULL) != 1)
			return explain(why, "the ca file", options->ca_file, "it has to be PEM with at least one certificate");
		names = SSL_load_client_CA_file(options->ca_file);
		if (names)
			SSL_CTX_set_client_CA_list(ctx, names);
	}
	return true;
}

static bool use_options(SSL_CTX *ctx, const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX])
{
	SSL_CTX_set_options(ctx, versions_off(options->protocols) | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_min_proto_version(ctx, 0); /* the system's own minimum would hide what was asked for */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (*options->ciphers && SSL_CTX_set_cipher_list(ctx, options->ciphers) != 1)
		return explain(why, "the list of ciphers", options->ciphers, "write it as openssl ciphers would");
	if (*options->tls13_ciphers && SSL_CTX_set_ciphersuites(ctx, options->tls13_ciphers) != 1)
		return explain(why, "the list of TLS 1.3 ciphers", options->tls13_ciphers, "write names such as TLS_AES_256_GCM_SHA384");
	return use_files(ctx, options, why);
}

static int on_alpn(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_len, const unsigned char *offered,
	unsigned int len, void *arg)
{
	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)ret_chosen, ret_len, alpn_list, ALPN_LIST_BYTES, offered, len) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static struct sw_tls *context_new(const SSL_METHOD *method, const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX])
{
	struct sw_tls *tls = SW_NEW(struct sw_tls);

	tls->refs = 1;
	tls->must_match = options->must_match;
	tls->ctx = SSL_CTX_new(method);
	if (!tls->ctx)
		explain(why, "OpenSSL", OPENSSL_VERSION_TEXT, "it cannot make a context: check how it was installed");
	if (!tls->ctx || !use_options(tls->ctx, options, why)) {
		sw_tls_unref(tls);
		return NULL;
	}
	return tls;
}

struct sw_tls *sw_tls_new_server(const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX])
{
	static const unsigned char session_context[] = "seawall";
	struct sw_tls *tls = context_new(TLS_server_method(), options, why);
	int verify = *options->ca_file ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;

	if (!tls)
		return NULL;
	if (options->must_verify)
		verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(tls->ctx, verify, NULL);
	SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, NULL);
	/* Tickets only: they cost us no memory, and their key ends with the context. */
	SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(tls->ctx, session_context, sizeof(session_context) - 1);
	SSL_CTX_set_num_tickets(tls->ctx, 1);
	SSL_CTX_set_timeout(tls->ctx, SESSION_SECONDS);
	return tls;
}

struct sw_tls *sw_tls_new_client(const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX])
{
	struct sw_tls *tls = context_new(TLS_client_method(), options, why);

	if (!tls)
		return NULL;
	SSL_CTX_set_verify(tls->ctx, options->must_verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_alpn_protos(tls->ctx, alpn_list, ALPN_LIST_BYTES);
	return tls;
}

struct sw_tls *sw_tls_ref(struct sw_tls *tls)
{
	if (tls)
		atomic_fetch_add(&tls->refs, 1);
	return tls;
}

void sw_tls_unref(struct sw_tls *tls)
{
	if (!tls || atomic_fetch_sub(&tls->refs, 1) > 1)
		return;
	SSL_CTX_free(tls->ctx);
	sw_mem_free(tls);
}

/* ---- connections */

static struct sw_tls_conn *conn_new(struct sw_tls *tls)
{
	struct sw_tls_conn *conn = SW_NEW(struct sw_tls_conn);
	BIO *bio;

	pthread_once(&bio_once, make_bio_method);
	conn->tls = sw_tls_ref(tls);
	conn->ssl = SSL_new(tls->ctx);
	bio = BIO_new(bio_method);
	if (!conn->ssl || !bio) {
		BIO_free(bio);
		sw_tls_conn_free(conn);
		return NULL;
	}
	BIO_set_data(bio, conn);
	BIO_set_init(bio, 1);
	SSL_set_bio(conn->ssl, bio, bio);
	return conn;
}

struct sw_tls_conn *sw_tls_accept(struct sw_tls *tls)
{
	struct sw_tls_conn *conn = conn_new(tls);

	if (conn)
		SSL_set_accept_state(conn->ssl);
	return conn;
}

static bool is_address(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

struct sw_tls_conn *sw_tls_connect(struct sw_tls *tls, const char *host)
{
	struct sw_tls_conn *conn = conn_new(tls);
	X509_VERIFY_PARAM *param;

	if (!conn)
		return NULL;
	SSL_set_connect_state(conn->ssl);
	param = SSL_get0_param(conn->ssl);
	if (is_address(host)) {
		if (tls->must_match)
			X509_VERIFY_PARAM_set1_ip_asc(param, host);
		return conn;
	}
	SSL_set_tlsext_host_name(conn->ssl, host);
	if (tls->must_match) {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		X509_VERIFY_PARAM_set1_host(param, host, 0);
	}
	return conn;
}

void sw_tls_conn_free(struct sw_tls_conn *conn)
{
	if (!conn)
		return;
	X509_free(conn->peer);
	SSL_free(conn->ssl);
	sw_tls_unref(conn->tls);
	sw_mem_free(conn->reason);
	sw_mem_free(conn);
}

void sw_tls_feed(struct sw_tls_conn *conn, const uint8_t *bytes, size_t len)
{
	assert(conn->in_len == 0);
	conn->in = bytes;
	conn->in_len = len;
}

/* What OpenSSL has found; a certificate's fault says more than "certificate verify failed". */
static void note_failure(struct sw_tls_conn *conn)
{
	bool verifies = SSL_get_verify_mode(conn->ssl) != SSL_VERIFY_NONE;
	long verified = verifies ? SSL_get_verify_result(conn->ssl) : X509_V_OK;
	const char *text = verified == X509_V_OK ? last_error() : X509_verify_cert_error_string(verified);

	if (!conn->has_failed)
		conn->reason = sw_mem_strdup(text);
	conn->has_failed = true;
	conn->in_len = 0;
	ERR_clear_error();
}

enum sw_err sw_tls_shake(struct sw_tls_conn *conn, struct sw_buf *out)
{
	int done, error;

	if (conn->has_failed)
		return SW_ERR_AUTH;
	ERR_clear_error();
	conn->out = out;
	done = SSL_do_handshake(conn->ssl);
	conn->out = NULL;
	error = SSL_get_error(conn->ssl, done);
	if (done == 1) {
		conn->is_secure = true;
		conn->peer = SSL_get1_peer_certificate(conn->ssl);
		return SW_OK;
	}
	if (error == SSL_ERROR_WANT_READ)
		return SW_ERR_AGAIN;
	note_failure(conn);
	return SW_ERR_AUTH;
}

enum sw_err sw_tls_open(struct sw_tls_conn *conn, uint8_t *plain, size_t size, size_t *len, struct sw_buf *out)
{
	int got = 0, error;

	*len = 0;
	if (conn->has_failed)
		return SW_ERR_PROTOCOL;
	ERR_clear_error();
	conn->out = out;
	while (*len < size && (got = SSL_read(conn->ssl, plain + *len, (int)(size - *len))) > 0)
		*len += (size_t)got;
	conn->out = NULL;
	if (*len == size)
		return SW_OK;
	error = SSL_get_error(conn->ssl, got);
	if (error == SSL_ERROR_WANT_READ)
		return SW_OK;
	if (error == SSL_ERROR_ZERO_RETURN) {
		conn->in_len = 0; /* bytes behind the goodbye are nobody's */
		return SW_ERR_EOF;
	}
	note_failure(conn);
	return SW_ERR_PROTOCOL;
}

enum sw_err sw_tls_seal(struct sw_tls_conn *conn, const void *plain, size_t len, struct sw_buf *out)
{
	size_t wrote;
	int done;

	if (conn->has_failed)
		return SW_ERR_PROTOCOL;
	ERR_clear_error();
	conn->out = out;
	done = SSL_write_ex(conn->ssl, plain, len, &wrote);
	conn->out = NULL;
	if (done == 1)
		return SW_OK;
	note_failure(conn);
	return SW_ERR_PROTOCOL;
}

void sw_tls_say_bye(struct sw_tls_conn *conn, struct sw_buf *out)
{
	if (conn->has_failed || !conn->is_secure)
		return;
	ERR_clear_error();
	conn->out = out;
	SSL_shutdown(conn->ssl);
	conn->out = NULL;
	ERR_clear_error();
}

/* ---- what is known of it */

const char *sw_tls_reason(const struct sw_tls_conn *conn)
{
	return conn->reason ? conn->reason : "";
}

const char *sw_tls_version(const struct sw_tls_conn *conn)
{
	return SSL_get_version(conn->ssl);
}

const char *sw_tls_cipher(const struct sw_tls_conn *conn)
{
	return SSL_get_cipher_name(conn->ssl);
}

bool sw_tls_has_alpn(const struct sw_tls_conn *conn)
{
	const unsigned char *chosen;
	unsigned int len;

	SSL_get0_alpn_selected(conn->ssl, &chosen, &len);
	return len == ALPN_LIST_BYTES - 1 && memcmp(chosen, alpn_list + 1, len) == 0;
}

X509 *sw_tls_own_certificate(const struct sw_tls_conn *conn)
{
	return SSL_get_certificate(conn->ssl);
}

X509 *sw_tls_peer_certificate(const struct sw_tls_conn *conn)
{
	return conn->peer;
}

bool sw_tls_peer_name(const struct sw_tls_conn *conn, char *name, size_t size)
{
	int len;

	if (!conn->peer || SSL_get_verify_result(conn->ssl) != X509_V_OK)
		return false;
	len = X509_NAME_get_text_by_NID(X509_get_subject_name(conn->peer), NID_commonName, name, (int)size);
	/* A name that was cut could be another's, and a NUL inside would let "alice\0.example.com" pass for alice. */
	return len > 0 && (size_t)len < size - 1 && strlen(name) == (size_t)len;
}
