/*
 * The one error type of Seawall. Codes of foreign libraries (errno, libuv, libpq, OpenSSL) are translated where they
 * enter. A function that returns enum sw_err leaves its ret_ arguments untouched unless it returns SW_OK.
 */
#ifndef SW_BASE_ERR_H
#define SW_BASE_ERR_H

enum sw_err {
	SW_OK = 0,
	SW_ERR_AGAIN,     /* not now: more bytes, another sample or a free place is needed */
	SW_ERR_EOF,       /* the peer closed in an orderly way */
	SW_ERR_IO,        /* the operating system refused or the connection broke */
	SW_ERR_PROTOCOL,  /* the peer sent what the protocol does not allow */
	SW_ERR_LIMIT,     /* a named limit of limits.h or of the configuration was reached */
	SW_ERR_AUTH,      /* wrong or missing credentials */
	SW_ERR_CONFIG,    /* the configuration does not allow it */
	SW_ERR_NOT_FOUND, /* no such thing */
	SW_ERR_TIMEOUT,   /* a deadline passed */
	SW_ERR_SYNTAX,    /* text that does not parse */
};

#define SW_MUST_USE __attribute__((warn_unused_result))

/* A constant lower-case sentence for logs. Any thread. */
const char *sw_err_text(enum sw_err err);

#endif
