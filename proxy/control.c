/*
 * The control thread: starts monitor and workers, carries mail between them, reloads, answers the console, stops.
 * Everything here runs on the main thread's loop, but for the functions named hook_*, which workers and PAM's threads call:
 * they only post.
 * Invariant: workers run from when the cluster is known (or a second after the start) until the loop has ended.
 * What is not here: what the console says (admin.c), what the monitor sees (lagmon), what workers do (worker.c).
 */
#include "proxy/control.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "lagmon/monitor.h"
#include "lagmon/view.h"
#include "proxy/admin.h"
#include "proxy/auth/asks.h"
#include "proxy/auth/auth.h"
#include "proxy/auth/pam.h"
#include "proxy/auth/secrets.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"
#include "proxy/base/mailbox.h"
#include "proxy/base/mem.h"
#include "proxy/base/table.h"
#include "proxy/base/version.h"
#include "proxy/config.h"
#include "proxy/lookup.h"
#include "proxy/net/listen.h"
#include "proxy/pool/quota.h"
#include "proxy/report.h"
#include "proxy/session/session.h"
#include "proxy/setup.h"
#include "proxy/worker.h"
#include "router/catalog.h"

/* Clients are accepted when the cluster has been seen, and after so long in any case. */
#define FIRST_LOOK_MS 1000

struct control {
	uv_loop_t loop;
	struct sw_mailbox box;
	uv_async_t kick;             /* some worker waits for a sample */
	uv_signal_t signals[3];
	uv_timer_t first_look;
	struct sw_setup *setup;
	struct sw_board *board;
	struct sw_monitor *monitor;
	struct sw_secrets *secrets;
	struct sw_lookup *lookup;
	struct sw_pam *pam;
	struct sw_view view;         /* the last one published */
	struct sw_worker *workers[SW_WORKERS_MAX];
	struct sw_worker_hooks hooks;
	uint32_t worker_count, idle_count;
	int listeners[SW_LISTENERS_MAX], listener_count;
	int64_t started_ns;
	bool is_running, is_draining, is_stopping;
};

/* ---- systemd */

/* Tells the service manager, if there is one (sd_notify(3)). */
static void tell_manager(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return;
	if (sendto(descriptor, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		sw_log(SW_LOG_WARNING, "could not tell the service manager \"%s\"", state);
	close(descriptor);
}

/* ---- mail from the workers */

struct letter {
	struct sw_mail mail;
	int worker;
	struct sw_cancel_key key;
	struct sw_console_ask ask;
	struct sw_secret_ask want;
	struct sw_pam_ask *pam;
	char text[];
};

static void on_letter_lost(struct sw_mail *mail)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);

	sw_pam_ask_unref(letter->pam);
	sw_mem_free(letter);
}

static void post(struct control *control, struct letter *letter, void (*on_arrival)(struct sw_mail *, void *))
{
	letter->mail.on_arrival = on_arrival;
	letter->mail.on_lost = on_letter_lost;
	sw_mailbox_post(&control->box, &letter->mail);
}

static struct letter *letter_new(const char *text)
{
	struct letter *letter = sw_mem_zalloc(sizeof(*letter) + strlen(text) + 1);

	strcpy(letter->text, text);
	return letter;
}

static void on_want_catalog(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct control *control = owner;

	if (control->monitor)
		sw_monitor_want_catalog(control->monitor, letter->text);
	sw_mem_free(letter);
}

static void hook_want_catalog(const char *dbname, void *arg)
{
	post(arg, letter_new(dbname), on_want_catalog);
}

static void hook_want_sample(void *arg)
{
	uv_async_send(&((struct control *)arg)->kick);
}

static void on_kick(uv_async_t *async)
{
	struct control *control = async->data;

	if (control->monitor)
		sw_monitor_kick(control->monitor);
}

static void on_cancel(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct control *control = owner;
	uint32_t worker = letter->key.pid >> 24;

	if (control->is_running && !control->is_stopping && worker < control->worker_count)
		sw_worker_cancel(control->workers[worker], &letter->key);
	sw_mem_free(letter);
}

static void hook_cancel(const struct sw_cancel_key *key, void *arg)
{
	struct letter *letter = letter_new("");

	letter->key = *key;
	post(arg, letter, on_cancel);
}

static void on_want_secret(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct control *control = owner;

	if (control->lookup && sw_lookup_ask(control->lookup, &letter->want) != SW_OK) {
		sw_log(SW_LOG_WARNING, "cannot look up user \"%s\" by auth_query: too many wait", letter->want.user);
		sw_worker_secret_reply(control->workers[letter->want.worker], &letter->want, NULL);
	}
	sw_mem_free(letter);
}

static void hook_want_secret(const struct sw_secret_ask *ask, void *arg)
{
	struct letter *letter = letter_new("");

	letter->want = *ask;
	post(arg, letter, on_want_secret);
}

static void on_secret(const struct sw_secret_ask *ask, const struct sw_known *known, void *arg)
{
	struct control *control = arg;

	sw_worker_secret_reply(control->workers[ask->worker], ask, known);
}

static enum sw_err hook_want_pam(struct sw_pam_ask *ask, void *arg)
{
	return sw_pam_put(((struct control *)arg)->pam, ask);
}

static void on_pam(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct control *control = owner;

	if (control->is_stopping)
		sw_pam_ask_unref(letter->pam);
	else
		sw_worker_pam_reply(control->workers[letter->pam->worker], letter->pam);
	sw_mem_free(letter);
}

static void hook_pam(struct sw_pam_ask *ask, void *arg)
{
	struct letter *letter = letter_new("");

	letter->pam = ask;
	post(arg, letter, on_pam);
}

/* ---- reload */

static struct sw_admin_context context_of(const struct control *control)
{
	return (struct sw_admin_context){.config = control->setup->config,
		.view = &control->view,
		.monitor = control->monitor,
		.started_ns = control->started_ns};
}

/* Reads the configuration again. All of it is taken, or nothing. */
static bool reload(struct control *control, FILE *faults)
{
	const struct sw_setup *old = control->setup;
	struct sw_config *config = sw_config_load(old->config->path, faults);
	struct sw_setup *setup;

	if (!config)
		return false;
	if (sw_config_check_reload(old->config, config, faults) != SW_OK) {
		sw_config_unref(config);
		return false;
	}
	setup = sw_setup_load(config, faults);
	if (!setup)
		return false;
	if (setup->users && old->users)
		sw_auth_users_adopt_keys(setup->users, old->users);
	sw_monitor_set_config(control->monitor, config);
	sw_lookup_set_setup(control->lookup, setup);
	for (uint32_t i = 0; i < control->worker_count && control->is_running; i++)
		sw_worker_set_setup(control->workers[i], setup);
	sw_setup_unref(control->setup);
	control->setup = setup;
	return true;
}

static void log_lines(char *text)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			sw_log(SW_LOG_ERROR, "%s", line);
}

/* Reloads and says in the log how it went; the faults are the caller's to free. */
static bool reload_and_log(struct control *control, char **ret_faults)
{
	size_t len;
	FILE *faults = open_memstream(ret_faults, &len);
	bool ok = reload(control, faults);
	char *copy;

	fclose(faults);
	if (ok) {
		sw_log(SW_LOG_INFO, "configuration reloaded from \"%s\"", control->setup->config->path);
		return true;
	}
	copy = sw_mem_strdup(*ret_faults);
	log_lines(copy);
	sw_mem_free(copy);
	sw_log(SW_LOG_ERROR, "configuration not reloaded: the old one stays in force");
	return false;
}

/* ---- console */

/* A report under way: every worker adds its rows, the last one's arrival sends the answer. */
struct gathering {
	struct control *control;
	enum sw_report_kind kind;
	struct sw_table *table;
	uint32_t outstanding;
	int worker;
	uint64_t session;
};

/* One worker's part; made by the control thread, filled on the worker's, merged on the control thread. */
struct part {
	struct sw_mail mail;
	struct gathering *gathering;
	struct sw_table *table;
};

static void answer(struct control *control, int worker, uint64_t session, struct sw_buf *out)
{
	sw_worker_console_reply(control->workers[worker], session, sw_buf_data(out), sw_buf_len(out));
	sw_buf_fini(out);
}

static void on_part(struct sw_mail *mail, void *owner)
{
	struct part *part = SW_CONTAINER_OF(mail, struct part, mail);
	struct gathering *gathering = part->gathering;
	struct control *control = owner;
	struct sw_admin_context context = context_of(control);
	struct sw_buf out;

	sw_table_merge(gathering->table, part->table);
	sw_table_free(part->table);
	sw_mem_free(part);
	if (--gathering->outstanding > 0)
		return;
	sw_buf_init(&out, SW_ADMIN_ANSWER_BYTES_MAX);
	if (!control->is_stopping) {
		sw_admin_render(gathering->kind, gathering->table, &context, &out);
		answer(control, gathering->worker, gathering->session, &out);
	}
	sw_table_free(gathering->table);
	sw_mem_free(gathering);
}

/* On the worker's thread. */
static void fill_part(struct sw_engine *engine, void *arg)
{
	struct part *part = arg;

	sw_report_fill(engine, part->gathering->kind, part->table);
	part->mail.on_arrival = on_part;
	sw_mailbox_post(&part->gathering->control->box, &part->mail);
}

static void gather(struct control *control, const struct letter *letter, enum sw_report_kind kind)
{
	struct gathering *gathering = SW_NEW(struct gathering);

	*gathering = (struct gathering){.control = control,
		.kind = kind,
		.table = sw_report_table(kind),
		.outstanding = control->worker_count,
		.worker = letter->worker,
		.session = letter->ask.session};
	for (uint32_t i = 0; i < control->worker_count; i++) {
		struct part *part = SW_NEW(struct part);

		part->gathering = gathering;
		part->table = sw_report_table(kind);
		sw_worker_run(control->workers[i], fill_part, part);
	}
}

static void on_console(struct sw_mail *mail, void *owner)
{
	struct letter *letter = SW_CONTAINER_OF(mail, struct letter, mail);
	struct control *control = owner;
	struct sw_admin_context context = context_of(control);
	enum sw_report_kind kind;
	char *faults = NULL;
	struct sw_buf out;
	bool ok;

	sw_buf_init(&out, SW_ADMIN_ANSWER_BYTES_MAX);
	if (!control->is_stopping) {
		switch (sw_admin_parse(letter->text, letter->ask.is_admin, &context, &out, &kind)) {
		case SW_ADMIN_ANSWERED:
			answer(control, letter->worker, letter->ask.session, &out);
			break;
		case SW_ADMIN_REPORT:
			gather(control, letter, kind);
			break;
		case SW_ADMIN_RELOAD:
			sw_log(SW_LOG_INFO, "user \"%s\" asked for a reload on the console", letter->ask.user);
			ok = reload_and_log(control, &faults);
			sw_admin_reload_answer(ok, faults, &out);
			answer(control, letter->worker, letter->ask.session, &out);
			free(faults);
			break;
		}
	}
	sw_mem_free(letter);
}

static void hook_console(int worker, const struct sw_console_ask *ask, void *arg)
{
	struct letter *letter = letter_new(ask->sql);

	letter->worker = worker;
	letter->ask = *ask;
	post(arg, letter, on_console);
}

/* ---- start and stop */

static void on_monitor_closed(void *arg)
{
	struct control *control = arg;

	control->monitor = NULL;
	uv_close((uv_handle_t *)&control->kick, NULL);
	uv_close((uv_handle_t *)&control->first_look, NULL);
	for (int i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&control->signals[i], NULL);
	sw_mailbox_close(&control->box);
}

static void on_lookup_closed(void *arg)
{
	(void)arg; /* the loop ends when all are closed */
}

static void stop(struct control *control)
{
	if (control->is_stopping)
		return;
	control->is_stopping = true;
	tell_manager("STOPPING=1");
	sw_pam_close(control->pam);
	for (uint32_t i = 0; i < control->worker_count && control->is_running; i++)
		sw_worker_stop(control->workers[i]);
	sw_monitor_close(control->monitor, on_monitor_closed, control);
	sw_lookup_close(control->lookup, on_lookup_closed, control);
	control->lookup = NULL;
}

static void on_idle(struct sw_mail *mail, void *owner)
{
	struct control *control = owner;

	sw_mem_free(SW_CONTAINER_OF(mail, struct letter, mail));
	if (++control->idle_count == control->worker_count)
		stop(control);
}

static void hook_idle(int worker, void *arg)
{
	struct letter *letter = letter_new("");

	letter->worker = worker;
	post(arg, letter, on_idle);
}

static void drain(struct control *control)
{
	if (control->is_draining || !control->is_running) {
		stop(control);
		return;
	}
	control->is_draining = true;
	sw_log(SW_LOG_INFO, "draining: sessions end as they become idle; a second signal stops at once");
	for (uint32_t i = 0; i < control->worker_count; i++)
		sw_worker_drain(control->workers[i]);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct control *control = handle->data;
	char *faults = NULL;

	if (control->is_stopping)
		return;
	switch (number) {
	case SIGHUP:
		reload_and_log(control, &faults);
		free(faults);
		return;
	case SIGTERM:
		drain(control);
		return;
	default:
		sw_log(SW_LOG_INFO, "stopping at once");
		stop(control);
	}
}

static void start_workers(struct control *control)
{
	if (control->is_running || control->is_stopping)
		return;
	control->is_running = true;
	sw_board_unwant(control->board);
	uv_timer_stop(&control->first_look);
	for (uint32_t i = 0; i < control->worker_count; i++)
		control->workers[i] = sw_worker_start((int)i, control->board, control->secrets, control->setup,
			control->listeners, control->listener_count, &control->hooks);
	sw_log(SW_LOG_INFO, "seawall " SW_VERSION " serves on port %u with %" PRIu32 " worker%s", control->setup->config->listen_port,
		control->worker_count, control->worker_count == 1 ? "" : "s");
	tell_manager("READY=1");
}

static void on_first_look(uv_timer_t *timer)
{
	start_workers(timer->data);
}

/* Sleeping workers need to hear of what they wait for, and of what ends connections; the rest they see when they wake. */
static bool is_news(const struct sw_view *old, const struct sw_view *new)
{
	if (old->epoch != new->epoch || old->primary != new->primary)
		return true;
	for (uint32_t i = 0; i < new->node_count; i++)
		if (old->node[i].is_up != new->node[i].is_up || old->node[i].role != new->node[i].role)
			return true;
	return false;
}

/* A primary is there, and of each replica that is there it is known whether it may serve: the first client finds it so. */
static bool is_cluster_known(const struct sw_view *view)
{
	for (uint32_t n = 0; n < view->node_count; n++) {
		const struct sw_view_node *node = &view->node[n];

		if (node->is_up && node->role == SW_ROLE_REPLICA && !node->is_lineage_ok && !node->is_delayed)
			return false;
	}
	return view->primary >= 0;
}

static void on_view(const struct sw_view *view, void *arg)
{
	struct control *control = arg;
	bool wake = sw_board_wanted(control->board) > 0 || sw_board_settling(control->board) > 0 || is_news(&control->view, view);

	control->view = *view;
	if (control->is_stopping)
		return;
	if (!control->is_running) {
		if (is_cluster_known(view))
			start_workers(control);
		return;
	}
	for (uint32_t i = 0; i < control->worker_count && wake; i++)
		sw_worker_wake_for_view(control->workers[i]);
}

static void on_catalog(struct sw_catalog *catalog, void *arg)
{
	struct control *control = arg;

	for (uint32_t i = 0; i < control->worker_count && control->is_running && !control->is_stopping; i++)
		sw_worker_set_catalog(control->workers[i], catalog);
}

static enum sw_err init(struct control *control)
{
	static const int numbers[3] = {SIGHUP, SIGTERM, SIGINT};
	struct sw_config *config = control->setup->config;
	struct sw_monitor_hooks hooks = {.on_view = on_view, .on_catalog = on_catalog, .arg = control};
	struct sw_lookup_hooks lookup_hooks = {.on_answer = on_secret, .arg = control};

	if (sw_listen_open(config->listen_addr, config->listen_port, config->unix_socket_dir, (int)config->listen_backlog,
		    control->listeners, &control->listener_count) != SW_OK)
		return SW_ERR_IO;
	uv_loop_init(&control->loop);
	control->started_ns = sw_clock_ns();
	control->view.primary = -1;
	control->worker_count = config->workers;
	control->hooks = (struct sw_worker_hooks){.on_want_sample = hook_want_sample,
		.on_want_catalog = hook_want_catalog,
		.on_console = hook_console,
		.on_cancel = hook_cancel,
		.on_want_secret = hook_want_secret,
		.on_want_pam = hook_want_pam,
		.on_idle = hook_idle,
		.arg = control};
	if (sw_mailbox_init(&control->box, &control->loop, control) != SW_OK)
		return SW_ERR_IO;
	uv_async_init(&control->loop, &control->kick, on_kick);
	control->kick.data = control;
	for (int i = 0; i < 3; i++) {
		uv_signal_init(&control->loop, &control->signals[i]);
		control->signals[i].data = control;
		uv_signal_start(&control->signals[i], on_signal, numbers[i]);
	}
	uv_timer_init(&control->loop, &control->first_look);
	control->first_look.data = control;
	uv_timer_start(&control->first_look, on_first_look, FIRST_LOOK_MS, 0);
	control->board = sw_board_new();
	sw_board_want(control->board); /* until the workers start */
	control->monitor = sw_monitor_new(&control->loop, control->board, config, &hooks);
	control->secrets = sw_secrets_new(SW_SECRETS_MAX);
	control->pam = sw_pam_new(sw_pam_check, hook_pam, control);
	control->lookup = sw_lookup_new(&control->loop, &control->view, control->secrets, control->setup, &lookup_hooks);
	return SW_OK;
}

int sw_control_run(struct sw_setup *setup)
{
	struct control *control = SW_NEW(struct control);

	control->setup = setup;
	sw_server_set_hooks(&sw_relay_hooks);
	if (init(control) != SW_OK) {
		sw_setup_unref(setup);
		sw_mem_free(control);
		return 1;
	}
	uv_run(&control->loop, UV_RUN_DEFAULT);
	uv_loop_close(&control->loop);
	sw_mailbox_fini(&control->box);
	sw_listen_close(control->listeners, control->listener_count);
	sw_board_free(control->board);
	sw_secrets_free(control->secrets);
	sw_pam_unref(control->pam);
	sw_setup_unref(control->setup);
	sw_quota_free_all();
	sw_mem_free(control);
	sw_log(SW_LOG_INFO, "stopped");
	return 0;
}
