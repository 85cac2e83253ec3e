/*
 * TLS without sockets, over OpenSSL: contexts (certificates, keys, what is accepted), and connections as exchanges of bytes.
 * A stream owns a connection and does its reading and writing (stream.h); everybody else needs only the contexts.
 * Contexts are immutable and counted, for any thread; a connection belongs to one.
 * Source: PostgreSQL manual, 55.2.10 'SSL Session Encryption', 34.19 'SSL Support'; RFC 8446, RFC 5246.
 */
#ifndef SW_NET_TLS_H
#define SW_NET_TLS_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/buf.h"
#include "proxy/base/err.h"

/* Room for a reason. */
#define SW_TLS_WHY_MAX 512

/* Room that sw_tls_open needs beyond the bytes that were fed: one record may have been waiting for its end. */
#define SW_TLS_RECORD_BYTES (17 * 1024)

struct sw_tls;
struct sw_tls_conn;

/* Texts are "" where nothing was said. */
struct sw_tls_options {
	const char *key_file, *cert_file; /* our own certificate; both or neither */
	const char *ca_file;              /* who may have signed the peer's */
	const char *protocols;            /* "secure" = tlsv1.2,tlsv1.3, "all", or a list of tlsv1.0 to tlsv1.3 */
	const char *ciphers;              /* of TLS 1.2 and before, in OpenSSL's words */
	const char *tls13_ciphers;
	bool must_verify;                 /* a peer without a certificate of ca_file's is refused */
	bool must_match;                  /* of a server: and the certificate must name the host */
};

/* Is it a value of protocols? */
bool sw_tls_protocols_are_known(const char *protocols);
/* The lowest and the highest version that it allows, as libpq names them ("TLSv1.2"). */
const char *sw_tls_lowest_protocol(const char *protocols);
const char *sw_tls_highest_protocol(const char *protocols);

/* Our side is the server: key_file and cert_file are needed. NULL, and then why says what to do. Control thread. */
struct sw_tls *sw_tls_new_server(const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX]);
/* Our side is the client. */
struct sw_tls *sw_tls_new_client(const struct sw_tls_options *options, char why[SW_TLS_WHY_MAX]);
struct sw_tls *sw_tls_ref(struct sw_tls *tls);  /* takes NULL */
void sw_tls_unref(struct sw_tls *tls);          /* takes NULL */

struct sw_tls_conn *sw_tls_accept(struct sw_tls *tls);
/* host: as configured; named to the server (SNI) where it is no address, and compared with its certificate. */
struct sw_tls_conn *sw_tls_connect(struct sw_tls *tls, const char *host);
void sw_tls_conn_free(struct sw_tls_conn *conn); /* takes NULL */

/*
 * In every call below what has to be sent is appended to out. The bytes that were fed are used up by the next call of
 * sw_tls_shake or sw_tls_open and must stay until then.
 */
void sw_tls_feed(struct sw_tls_conn *conn, const uint8_t *bytes, size_t len);
/* One step of the handshake: SW_OK when it is over, SW_ERR_AGAIN, or SW_ERR_AUTH: sw_tls_reason says why. */
enum sw_err sw_tls_shake(struct sw_tls_conn *conn, struct sw_buf *out) SW_MUST_USE;
/* Everything that can be opened: size is at least what was fed and SW_TLS_RECORD_BYTES. SW_ERR_EOF, SW_ERR_PROTOCOL: the end. */
enum sw_err sw_tls_open(struct sw_tls_conn *conn, uint8_t *plain, size_t size, size_t *len, struct sw_buf *out) SW_MUST_USE;
/* SW_ERR_PROTOCOL: the connection has failed; nothing can be sent. */
enum sw_err sw_tls_seal(struct sw_tls_conn *conn, const void *plain, size_t len, struct sw_buf *out) SW_MUST_USE;
/* The orderly goodbye, where the connection got so far. */
void sw_tls_say_bye(struct sw_tls_conn *conn, struct sw_buf *out);

/* Why it failed: one line. */
const char *sw_tls_reason(const struct sw_tls_conn *conn);
/* "TLSv1.3", "TLS_AES_256_GCM_SHA384". */
const char *sw_tls_version(const struct sw_tls_conn *conn);
const char *sw_tls_cipher(const struct sw_tls_conn *conn);
/* The peer asked for the protocol "postgresql" (ALPN). */
bool sw_tls_has_alpn(const struct sw_tls_conn *conn);
/* Our certificate, the peer's: NULL where there is none; as long as the connection lives. */
X509 *sw_tls_own_certificate(const struct sw_tls_conn *conn);
X509 *sw_tls_peer_certificate(const struct sw_tls_conn *conn);
/* The common name of the peer's certificate, which was verified; false where it has none, or not a plain one. */
bool sw_tls_peer_name(const struct sw_tls_conn *conn, char *name, size_t size);

#endif
