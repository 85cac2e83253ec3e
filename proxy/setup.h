/*
 * Everything that Seawall reads from files: the configuration, users, host-based rules, certificates. Loaded, checked and
 * reloaded as one: all of it is taken, or nothing. Built by the control thread; immutable; counted; any thread.
 */
#ifndef SW_PROXY_SETUP_H
#define SW_PROXY_SETUP_H

#include <stdio.h>

struct sw_auth_users;
struct sw_config;
struct sw_hba;
struct sw_tls;

struct sw_setup {
	struct sw_config *config;
	struct sw_auth_users *users; /* NULL where there is no auth_file and none is needed */
	struct sw_hba *hba;          /* NULL but with auth_type hba or cert */
	struct sw_tls *client_tls;   /* NULL = clients get no TLS */
	struct sw_tls *server_tls;   /* NULL = nodes get none */
	_Atomic int refs;
};

/* Takes over the configuration. Faults as "file:line: what", all of them; NULL where there was any. */
struct sw_setup *sw_setup_load(struct sw_config *config, FILE *faults);
struct sw_setup *sw_setup_ref(struct sw_setup *setup);
void sw_setup_unref(struct sw_setup *setup); /* takes NULL */

#endif
