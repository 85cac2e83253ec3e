/*
 * What is read from files, put together. Control thread.
 */
#include "proxy/setup.h"

#include <stdatomic.h>
#include <unistd.h>

#include "proxy/auth/auth.h"
#include "proxy/auth/hba.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/net/tls.h"

static struct sw_tls_options options_of(const struct sw_tls_config *config)
{
	return (struct sw_tls_options){.key_file = config->key_file,
		.cert_file = config->cert_file,
		.ca_file = config->ca_file,
		.protocols = config->protocols,
		.ciphers = config->ciphers,
		.tls13_ciphers = config->tls13_ciphers,
		.must_verify = config->sslmode >= SW_SSL_VERIFY_CA,
		.must_match = config->sslmode == SW_SSL_VERIFY_FULL};
}

/* false: there was a fault. */
static bool load_tls(struct sw_setup *setup, FILE *faults)
{
	const struct sw_config *config = setup->config;
	struct sw_tls_options client = options_of(&config->client_tls), server = options_of(&config->server_tls);
	char why[SW_TLS_WHY_MAX];
	bool is_fine = true;

	/* As libpq does: who names a CA wants it to be asked. */
	server.must_verify = server.must_verify || (config->server_tls.sslmode == SW_SSL_REQUIRE && *server.ca_file);

	if (config->client_tls.sslmode != SW_SSL_DISABLE) {
		setup->client_tls = sw_tls_new_server(&client, why);
		if (!setup->client_tls)
			fprintf(faults, "%s: client_tls: %s\n", config->path, why);
		is_fine = setup->client_tls != NULL;
	}
	if (config->server_tls.sslmode != SW_SSL_DISABLE) {
		setup->server_tls = sw_tls_new_client(&server, why);
		if (!setup->server_tls)
			fprintf(faults, "%s: server_tls: %s\n", config->path, why);
		is_fine = is_fine && setup->server_tls != NULL;
	}
	return is_fine;
}

static bool load_users(struct sw_setup *setup, FILE *faults)
{
	const struct sw_config *config = setup->config;

	/* With these nobody needs it to get in. */
	if ((config->auth_type == SW_AUTH_TRUST || config->auth_type == SW_AUTH_PAM) && access(config->auth_file, R_OK) != 0)
		return true;
	setup->users = sw_auth_users_load(config->auth_file, faults);
	return setup->users != NULL;
}

/* libpq logs in as auth_user, and it takes passwords only; "" is for a role that the nodes trust. */
static bool check_auth_user(const struct sw_setup *setup, FILE *faults)
{
	const struct sw_config *config = setup->config;
	const char *secret = setup->users ? sw_auth_users_find(setup->users, config->auth_user) : NULL;

	if (!config->auth_query[0] || (secret && !sw_auth_is_hash(secret)))
		return true;
	fprintf(faults, "%s: \"auth_user\": role \"%s\" %s\n", config->path, config->auth_user,
		secret ? "has only a hash in \"auth_file\": put the password there, which logging in to a node takes" :
			 "is not in \"auth_file\": add it with its password");
	return false;
}

static bool load_hba(struct sw_setup *setup, FILE *faults)
{
	const struct sw_config *config = setup->config;

	if (config->auth_type != SW_AUTH_HBA && config->auth_type != SW_AUTH_CERT)
		return true;
	setup->hba = sw_hba_load(config->auth_hba_file, config->auth_ident_file, faults);
	return setup->hba != NULL;
}

struct sw_setup *sw_setup_load(struct sw_config *config, FILE *faults)
{
	struct sw_setup *setup = SW_NEW(struct sw_setup);
	bool is_fine;

	setup->refs = 1;
	setup->config = config;
	/* All of them, so that one look shows every fault. */
	is_fine = load_users(setup, faults) && check_auth_user(setup, faults);
	is_fine = load_hba(setup, faults) && is_fine;
	is_fine = load_tls(setup, faults) && is_fine;
	if (is_fine)
		return setup;
	sw_setup_unref(setup);
	return NULL;
}

struct sw_setup *sw_setup_ref(struct sw_setup *setup)
{
	atomic_fetch_add(&setup->refs, 1);
	return setup;
}

void sw_setup_unref(struct sw_setup *setup)
{
	if (!setup || atomic_fetch_sub(&setup->refs, 1) > 1)
		return;
	sw_tls_unref(setup->client_tls);
	sw_tls_unref(setup->server_tls);
	sw_hba_unref(setup->hba);
	sw_auth_users_unref(setup->users);
	sw_config_unref(setup->config);
	sw_mem_free(setup);
}
