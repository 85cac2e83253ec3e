/*
 * Host-based authentication: PostgreSQL's pg_hba.conf (who may come from where, and how he proves it) and
 * pg_ident.conf (which system user may be which database user). The first rule that fits a client decides; a
 * client that no rule fits is rejected.
 *
 * The format is PostgreSQL 15's, with the regular expressions and the include lines of 16. Refused, each with
 * a fault that says what to write instead: host names (nothing here looks up a name), samerole and +group
 * (role memberships are not known), GSSAPI, SSPI, ident servers, RADIUS, BSD, LDAP, include_dir, and what
 * POSIX reads in a regular expression otherwise than PostgreSQL. No sockets, no clock, no log; files are read
 * by sw_hba_load only. Source: PostgreSQL manual, 'The pg_hba.conf File' and 'User Name Maps'.
 */
#ifndef SW_AUTH_HBA_H
#define SW_AUTH_HBA_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

enum sw_hba_method {
	SW_HBA_REJECT,
	SW_HBA_TRUST,
	SW_HBA_PASSWORD, /* in plain text */
	SW_HBA_MD5,      /* a user with a SCRAM secret goes on as SCRAM */
	SW_HBA_SCRAM,
	SW_HBA_CERT, /* with hostssl only; clientcert is SW_CLIENTCERT_FULL */
	SW_HBA_PEER, /* with local only */
	SW_HBA_PAM,
};

/* What is asked of the client's certificate, whatever the method. */
enum sw_clientcert {
	SW_CLIENTCERT_NONE,
	SW_CLIENTCERT_CA,   /* signed by the CA */
	SW_CLIENTCERT_FULL, /* signed, and its name is the user's, or maps to it */
};

/* A client that asks to be let in. */
struct sw_hba_ask {
	bool is_unix, is_tls;
	/* Physical replication. Logical replication names a database and counts as a client of it. */
	bool is_replication;
	const char *database, *user;
	/*
	 * Of a TCP client; no rule fits one without. An IPv4 address inside of an IPv6 one, as a socket for
	 * both gives it, is an IPv4 address.
	 */
	const struct sockaddr *address;
};

/* What a rule says. Texts are valid as long as the sw_hba is. */
struct sw_hba_rule {
	enum sw_hba_method method;
	enum sw_clientcert clientcert;
	const char *map;        /* of peer and cert; NULL: the names must be equal */
	const char *pamservice; /* NULL: none is given; SW_PAM_SERVICE */
	const char *path;       /* of the file that it stands in; NULL with line 0 */
	unsigned line;          /* its first one; 0: no rule fits the client */
};

/*
 * Blocks: it reads files, and the addresses of the machine where samehost or samenet is used. ident_path: "" or
 * NULL = no maps; hba_path: "" = no rules, for who needs only maps. Faults as "file:line: what, and what to do",
 * all of them; NULL where there was any. Immutable; counted; any thread.
 */
struct sw_hba;
struct sw_hba *sw_hba_load(const char *hba_path, const char *ident_path, FILE *faults_file);
struct sw_hba *sw_hba_ref(struct sw_hba *hba);
void sw_hba_unref(struct sw_hba *hba); /* takes NULL */

/* The first rule that fits, or one that rejects, with line 0. */
void sw_hba_find(const struct sw_hba *hba, const struct sw_hba_ask *ask, struct sw_hba_rule *ret_rule);

/*
 * True where a client whom the system or his certificate calls system_user may be database_user. map: NULL =
 * the names must be equal. A map that is not in the file allows nobody; nor does a system_user that is NULL.
 */
bool sw_hba_map_allows(
        const struct sw_hba *hba, const char *map, const char *system_user, const char *database_user);

#endif
