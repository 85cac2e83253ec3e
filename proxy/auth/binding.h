/*
 * Channel binding of type tls-server-end-point (RFC 5929, section 4): the hash of the server's certificate,
 * which both ends of a TLS connection know and put under their SCRAM proofs. Any thread.
 */
#ifndef SW_AUTH_BINDING_H
#define SW_AUTH_BINDING_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

/* The longest hash: SHA-512's, and OpenSSL's own maximum. */
#define SW_BINDING_BYTES_MAX 64

struct x509_st; /* OpenSSL's X509, without its headers */

/*
 * SW_ERR_NOT_FOUND where the certificate has no such hash (Ed25519, Ed448): then there is nothing to bind to,
 * and SCRAM-SHA-256 goes without. certificate is only read, though OpenSSL's call wants it writable.
 */
enum sw_err sw_binding_of(
        struct x509_st *certificate, uint8_t ret_hash[SW_BINDING_BYTES_MAX], size_t *ret_len) SW_MUST_USE;

#endif
