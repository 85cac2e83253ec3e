/* SASLprep (RFC 4013) of a password, as PostgreSQL applies it on both sides. Any thread. */
#ifndef SW_AUTH_SASLPREP_H
#define SW_AUTH_SASLPREP_H

/*
 * The prepared password, or a copy of its bytes where it is not UTF-8 or SASLprep forbids it: a password that
 * PostgreSQL accepts must never be refused here. On the heap; the caller wipes and frees it.
 */
char *sw_saslprep(const char *password);

#endif
