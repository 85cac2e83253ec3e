/*
 * Workers: threads, listeners, mail. What a worker's sessions do is in proxy/session; this file only runs them.
 * Functions named sw_worker_* run on the control thread, on_* on the worker's, but for the thread's start and join.
 * Invariant: a worker's engine is touched by its own thread only, from its start to its join.
 */
#include "proxy/worker.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/auth/asks.h"
#include "proxy/auth/digest.h"
#include "proxy/auth/pam.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mailbox.h"
#include "proxy/base/mem.h"
#include "proxy/config.h"
#include "proxy/net/stream.h"
#include "proxy/pool/plans.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/quota.h"
#include "proxy/pool/settings.h"
#include "proxy/session/session.h"
#include "proxy/setup.h"
#include "router/catalog.h"
#include "router/verdicts.h"

#define TICK_MS 250

/* Messages of our own and a batch of the client's; see proxy/session/extended.c. */
#define ASSEMBLY_BYTES_MAX (16u * 1024 * 1024)

struct listener {
	union {
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct sw_worker *worker;
};

struct sw_worker {
	struct sw_engine engine;
	struct sw_setup *setup;
	struct sw_scratch scratch;
	uv_loop_t loop;
	uv_thread_t thread;
	struct sw_mailbox box;
	uv_async_t view_async;
	uv_timer_t tick;
	struct listener *listeners;
	int listener_count;
	const struct sw_worker_hooks *hooks;
	char name[16];
	bool are_listeners_closed;
};

/* ---- hooks of the engine */

static struct sw_worker *worker_of(struct sw_engine *engine)
{
	return engine->worker;
}

static void on_want_sample(struct sw_engine *engine)
{
	worker_of(engine)->hooks->on_want_sample(worker_of(engine)->hooks->arg);
}

static void on_want_catalog(struct sw_engine *engine, const char *dbname)
{
	worker_of(engine)->hooks->on_want_catalog(dbname, worker_of(engine)->hooks->arg);
}

static void on_console(struct sw_engine *engine, const struct sw_console_ask *ask)
{
	worker_of(engine)->hooks->on_console(engine->number, ask, worker_of(engine)->hooks->arg);
}

static void on_foreign_cancel(struct sw_engine *engine, const struct sw_cancel_key *key)
{
	worker_of(engine)->hooks->on_cancel(key, worker_of(engine)->hooks->arg);
}

static void on_want_secret(struct sw_engine *engine, const struct sw_secret_ask *ask)
{
	worker_of(engine)->hooks->on_want_secret(ask, worker_of(engine)->hooks->arg);
}

static enum sw_err on_want_pam(struct sw_engine *engine, struct sw_pam_ask *ask)
{
	return worker_of(engine)->hooks->on_want_pam(ask, worker_of(engine)->hooks->arg);
}

static void on_idle(struct sw_engine *engine)
{
	worker_of(engine)->hooks->on_idle(engine->number, worker_of(engine)->hooks->arg);
}

static const struct sw_engine_hooks engine_hooks = {
	.on_want_sample = on_want_sample,
	.on_want_catalog = on_want_catalog,
	.on_console = on_console,
	.on_foreign_cancel = on_foreign_cancel,
	.on_want_secret = on_want_secret,
	.on_want_pam = on_want_pam,
	.on_idle = on_idle,
};

/* ---- the loop */

static void look_at_view(struct sw_engine *engine)
{
	sw_engine_refresh_view(engine);
	sw_pools_on_view(engine);
	sw_sessions_on_view(engine);
}

static void on_view_async(uv_async_t *async)
{
	look_at_view(async->data);
}

static void on_tick(uv_timer_t *timer)
{
	struct sw_engine *engine = timer->data;
	int64_t now_ns = sw_clock_ns();

	look_at_view(engine);
	sw_pools_tick(engine, now_ns);
	sw_sessions_tick(engine, now_ns);
	sw_sessions_on_catalog(engine);
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct listener *listener = SW_CONTAINER_OF(stream, struct listener, uv);

	if (status != 0) {
		sw_log(SW_LOG_WARNING, "could not accept a client: %s", uv_strerror(status));
		return;
	}
	sw_session_accept(&listener->worker->engine, stream);
}

static void close_listeners(struct sw_worker *worker)
{
	if (worker->are_listeners_closed)
		return;
	worker->are_listeners_closed = true;
	for (int i = 0; i < worker->listener_count; i++)
		uv_close((uv_handle_t *)&worker->listeners[i].uv.stream, NULL);
}

/* ---- mail */

struct letter {
	struct sw_mail mail;
	struct sw_setup *setup;
	struct sw_catalog *catalog;
	struct sw_cancel_key key;
	uint64_t session;
	uint32_t slot;
	bool is_known;
	struct sw_known known;
	struct sw_pam_ask *pam;
	void (*fill)(struct sw_engine *engine, void *arg);
	void *arg;
	size_t len;
	uint8_t bytes[];
};

static struct letter *letter_new(size_t len)
{
	struct letter *letter = sw_mem_zalloc(sizeof(*letter) + len);

	letter->len = len;
	return letter;
}

static void on_lost(struct sw_mail *mail)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);

	sw_setup_unref(letter->setup);
	if (letter->catalog)
		sw_catalog_unref(letter->catalog);
	sw_known_fini(&letter->known);
	sw_pam_ask_unref(letter->pam);
	sw_mem_free(letter);
}

static void send_letter(struct sw_worker *worker, struct letter *letter, void (*on_arrival)(struct sw_mail *, void *))
{
	letter->mail.on_arrival = on_arrival;
	letter->mail.on_lost = on_lost;
	sw_mailbox_post(&worker->box, &letter->mail);
}

static struct letter *letter_of(struct sw_mail *mail)
{
	return SW_CONTAINER_OF(mail, struct letter, mail);
}

/* Takes over the reference. */
static void use_setup(struct sw_worker *worker, struct sw_setup *setup)
{
	struct sw_engine *engine = &worker->engine;

	sw_setup_unref(worker->setup);
	worker->setup = setup;
	engine->config = setup->config;
	engine->users = setup->users;
	engine->hba = setup->hba;
	engine->client_tls = setup->client_tls;
	engine->server_tls = setup->server_tls;
}

static void on_setup(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);
	struct sw_worker *worker = owner;
	struct sw_engine *engine = &worker->engine;

	use_setup(worker, letter->setup);
	sw_verdicts_clear(engine->verdicts);
	sw_engine_apply_config(engine);
	sw_sessions_apply_config(engine);
	sw_mem_free(letter);
}

void sw_worker_set_setup(struct sw_worker *worker, struct sw_setup *setup)
{
	struct letter *letter = letter_new(0);

	letter->setup = sw_setup_ref(setup);
	send_letter(worker, letter, on_setup);
}

static void on_catalog(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);

	sw_engine_set_catalog(&((struct sw_worker *)owner)->engine, letter->catalog);
	sw_sessions_on_catalog(&((struct sw_worker *)owner)->engine);
	sw_catalog_unref(letter->catalog);
	sw_mem_free(letter);
}

void sw_worker_set_catalog(struct sw_worker *worker, struct sw_catalog *catalog)
{
	struct letter *letter = letter_new(0);

	letter->catalog = sw_catalog_ref(catalog);
	send_letter(worker, letter, on_catalog);
}

static void on_cancel(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);

	sw_session_cancel(&((struct sw_worker *)owner)->engine, &letter->key);
	sw_mem_free(letter);
}

void sw_worker_cancel(struct sw_worker *worker, const struct sw_cancel_key *key)
{
	struct letter *letter = letter_new(0);

	letter->key = *key;
	send_letter(worker, letter, on_cancel);
}

static void on_console_reply(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);

	sw_session_console_reply(&((struct sw_worker *)owner)->engine, letter->session, letter->bytes, letter->len);
	sw_mem_free(letter);
}

void sw_worker_console_reply(struct sw_worker *worker, uint64_t session, const void *messages, size_t len)
{
	struct letter *letter = letter_new(len);

	letter->session = session;
	if (len > 0)
		memcpy(letter->bytes, messages, len);
	send_letter(worker, letter, on_console_reply);
}

static void on_secret_reply(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);

	sw_login_on_secret(&((struct sw_worker *)owner)->engine, letter->slot, letter->session,
		letter->is_known ? &letter->known : NULL);
	sw_known_fini(&letter->known);
	sw_mem_free(letter);
}

void sw_worker_secret_reply(struct sw_worker *worker, const struct sw_secret_ask *ask, const struct sw_known *known)
{
	struct letter *letter = letter_new(0);

	letter->session = ask->session;
	letter->slot = ask->slot;
	letter->is_known = known != NULL;
	if (known)
		sw_known_copy(&letter->known, known);
	send_letter(worker, letter, on_secret_reply);
}

static void on_pam_reply(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);

	sw_login_on_pam(&((struct sw_worker *)owner)->engine, letter->pam);
	sw_pam_ask_unref(letter->pam);
	sw_mem_free(letter);
}

void sw_worker_pam_reply(struct sw_worker *worker, struct sw_pam_ask *ask)
{
	struct letter *letter = letter_new(0);

	letter->pam = ask;
	send_letter(worker, letter, on_pam_reply);
}

static void on_run(struct sw_mail *mail, void *owner)
{
	struct letter *letter = letter_of(mail);

	letter->fill(&((struct sw_worker *)owner)->engine, letter->arg);
	sw_mem_free(letter);
}

void sw_worker_run(struct sw_worker *worker, void (*fill)(struct sw_engine *engine, void *arg), void *arg)
{
	struct letter *letter = letter_new(0);

	letter->fill = fill;
	letter->arg = arg;
	send_letter(worker, letter, on_run);
}

static void on_drain(struct sw_mail *mail, void *owner)
{
	struct sw_worker *worker = owner;

	close_listeners(worker);
	sw_sessions_drain(&worker->engine);
	sw_mem_free(letter_of(mail));
}

void sw_worker_drain(struct sw_worker *worker)
{
	send_letter(worker, letter_new(0), on_drain);
}

static void on_stop(struct sw_mail *mail, void *owner)
{
	struct sw_worker *worker = owner;

	worker->engine.is_draining = false; /* nobody waits for on_idle any more */
	close_listeners(worker);
	sw_sessions_close_all(&worker->engine);
	sw_pools_close_all(&worker->engine);
	uv_close((uv_handle_t *)&worker->tick, NULL);
	uv_close((uv_handle_t *)&worker->engine.floor_timer, NULL);
	uv_close((uv_handle_t *)&worker->engine.refusal_timer, NULL);
	uv_close((uv_handle_t *)&worker->view_async, NULL);
	sw_mailbox_close(&worker->box);
	sw_mem_free(letter_of(mail));
}

/* ---- birth and death */

static void init_engine(struct sw_worker *worker, int number, struct sw_board *board, struct sw_secrets *secrets,
	struct sw_setup *setup)
{
	struct sw_engine *engine = &worker->engine;

	engine->loop = &worker->loop;
	engine->number = number;
	engine->hooks = &engine_hooks;
	engine->worker = worker;
	sw_scratch_init(&worker->scratch);
	engine->scratch = &worker->scratch;
	sw_buf_init(&engine->assembly, ASSEMBLY_BYTES_MAX);
	use_setup(worker, sw_setup_ref(setup));
	engine->board = board;
	engine->secrets = secrets;
	engine->view.primary = -1;
	engine->verdicts = sw_verdicts_new(SW_VERDICTS_MAX, SW_VERDICT_BYTES_MAX);
	engine->plans = sw_plans_new();
	engine->settings = sw_settings_table_new();
	engine->clients = sw_quota_named("clients");
	engine->primary_reads = sw_quota_named("primary reads");
	sw_list_init(&engine->databases);
	sw_list_init(&engine->sessions);
	sw_list_init(&engine->cancels);
	sw_list_init(&engine->waiting_floor);
	sw_list_init(&engine->waiting_primary);
	sw_list_init(&engine->refusals);
	sw_digest_random(&engine->random_state, sizeof(engine->random_state));
	engine->random_state |= 1;
	sw_engine_apply_config(engine);
}

static void fini_engine(struct sw_engine *engine)
{
	assert(engine->session_count == 0 && engine->closing_streams == 0);
	sw_pools_free(engine);
	sw_units_free(engine);
	sw_engine_free_databases(engine);
	sw_plans_free(engine->plans);
	sw_verdicts_free(engine->verdicts);
	sw_settings_table_free(engine->settings);
	sw_buf_fini(&engine->assembly);
	sw_mem_free(engine->slots);
}

static void run(void *arg)
{
	struct sw_worker *worker = arg;

	sw_log_set_thread(worker->name);
	uv_run(&worker->loop, UV_RUN_DEFAULT);
	uv_loop_close(&worker->loop);
}

static void listen_on(struct sw_worker *worker, struct listener *listener, int descriptor)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int copy = dup(descriptor), status;

	listener->worker = worker;
	getsockname(descriptor, (struct sockaddr *)&address, &len);
	if (address.ss_family == AF_UNIX) {
		uv_pipe_init(&worker->loop, &listener->uv.pipe, 0);
		status = uv_pipe_open(&listener->uv.pipe, copy);
	} else {
		uv_tcp_init(&worker->loop, &listener->uv.tcp);
		status = uv_tcp_open(&listener->uv.tcp, copy);
	}
	if (status == 0)
		status = uv_listen(&listener->uv.stream, (int)worker->engine.config->listen_backlog, on_connection);
	if (status != 0)
		sw_log(SW_LOG_ERROR, "%s cannot listen: %s", worker->name, uv_strerror(status));
}

struct sw_worker *sw_worker_start(int number, struct sw_board *board, struct sw_secrets *secrets,
	struct sw_setup *setup, const int *listeners, int listener_count, const struct sw_worker_hooks *hooks)
{
	struct sw_worker *worker = SW_NEW(struct sw_worker);

	snprintf(worker->name, sizeof(worker->name), "worker %d", number);
	worker->hooks = hooks;
	uv_loop_init(&worker->loop);
	init_engine(worker, number, board, secrets, setup);
	if (sw_mailbox_init(&worker->box, &worker->loop, worker) != SW_OK)
		sw_log(SW_LOG_ERROR, "%s has no mailbox", worker->name);
	uv_async_init(&worker->loop, &worker->view_async, on_view_async);
	worker->view_async.data = &worker->engine;
	uv_timer_init(&worker->loop, &worker->engine.floor_timer);
	worker->engine.floor_timer.data = &worker->engine;
	uv_timer_init(&worker->loop, &worker->engine.refusal_timer);
	worker->engine.refusal_timer.data = &worker->engine;
	uv_timer_init(&worker->loop, &worker->tick);
	worker->tick.data = &worker->engine;
	uv_timer_start(&worker->tick, on_tick, TICK_MS, TICK_MS);
	worker->listeners = sw_mem_zalloc((size_t)listener_count * sizeof(*worker->listeners));
	worker->listener_count = listener_count;
	for (int i = 0; i < listener_count; i++)
		listen_on(worker, &worker->listeners[i], listeners[i]);
	uv_thread_create(&worker->thread, run, worker);
	return worker;
}

void sw_worker_wake_for_view(struct sw_worker *worker)
{
	uv_async_send(&worker->view_async);
}

void sw_worker_stop(struct sw_worker *worker)
{
	send_letter(worker, letter_new(0), on_stop);
	uv_thread_join(&worker->thread);
	sw_mailbox_fini(&worker->box);
	fini_engine(&worker->engine);
	sw_scratch_fini(&worker->scratch);
	sw_setup_unref(worker->setup);
	sw_mem_free(worker->listeners);
	sw_mem_free(worker);
}
