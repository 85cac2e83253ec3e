/*
 * The hash of a certificate for channel binding. Owns nothing; any thread. Invariant: it leaves OpenSSL's
 * queue of errors as it was, because TLS on the same thread reads that queue to tell what a call of its own
 * met. Not here: where the certificate comes from (TLS), what SCRAM makes of the hash (scram.c).
 */
#include "proxy/auth/binding.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

_Static_assert(SW_BINDING_BYTES_MAX >= EVP_MAX_MD_SIZE, "every hash has room");

/* The hash that the certificate's signature uses, or NULL where it uses none. */
static const EVP_MD *digest_of(X509 *certificate)
{
	int nid;

	if (X509_get_signature_info(certificate, &nid, NULL, NULL, NULL) != 1 || nid == NID_undef)
		return NULL;
	/* RFC 5929, section 4.1: the weak ones give way. */
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	return EVP_get_digestbynid(nid);
}

enum sw_err sw_binding_of(X509 *certificate, uint8_t ret_hash[SW_BINDING_BYTES_MAX], size_t *ret_len)
{
	const EVP_MD *digest;
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	bool ok;

	ERR_set_mark();
	digest = digest_of(certificate);
	ok = digest && X509_digest(certificate, digest, hash, &len) == 1;
	ERR_pop_to_mark();
	if (!ok)
		return SW_ERR_NOT_FOUND;
	memcpy(ret_hash, hash, len);
	*ret_len = len;
	return SW_OK;
}
