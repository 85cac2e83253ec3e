/*
 * The load generator of the history checks: many sessions read and write versioned registers, and every
 * access is written down as one JSON line that checker.py judges.
 *
 * Owns: the options, the loop and the list of sessions. One thread, one poll() loop, libpq without blocking.
 * Invariant: a lost connection ends the causal session; its slot goes on under a new number.
 * Not here: what a session does (plan.c), its connections and its history (session.c), and any judgement:
 * whether a version is too old is decided by checker.py alone.
 *
 * workload --proxy CONNINFO | --primary CONNINFO --replica CONNINFO...   (the second is the naive choice to
 * compare with: writes to the primary, each read to a random replica)
 */
#include "tests/chaos/workload.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRACE_US 5000000 /* what is in flight at the end may still finish */

struct options sw_opt = {.n_sessions = 32, .n_registers = 200, .read_pct = 90, .stall_s = 30, .seed = 1};
struct counters sw_count;
FILE *sw_history;

static struct session *sessions;
static volatile sig_atomic_t stopping;

int64_t sw_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void sw_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("workload: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

/* Starts what is due in this session; returns when it next needs to be looked at. */
static int64_t session_tick(struct session *s, int64_t now, bool ending)
{
	int64_t next = now + 100000;
	int i;

	for (i = 0; i < sw_opt.n_links; i++) {
		if (s->links[i].state == LINK_DOWN && !ending && s->links[i].retry_us <= now)
			sw_link_connect(&s->links[i]);
	}
	if (s->at && now - s->sent_us > sw_opt.stall_s * INT64_C(1000000)) {
		sw_count.stalled++;
		sw_session_lost(s, s->at, "stalled");
	}
	if (s->at || ending || !sw_session_ready(s))
		return next;
	if (s->wake_us > now)
		return s->wake_us < next ? s->wake_us : next;
	if (sw_opt.churn && s->n_plans && sw_random_below(s, sw_opt.churn) == 0) {
		sw_session_renew(s);
		return now;
	}
	sw_session_start(s);
	return next;
}

static void turn(bool ending)
{
	static struct pollfd fds[MAX_SESSIONS * MAX_LINKS];
	static struct {
		struct session *s;
		struct link *l;
	} who[MAX_SESSIONS * MAX_LINKS];
	int64_t now = sw_now_us(), next = now + 100000, due;
	int i, j, n = 0;

	for (i = 0; i < sw_opt.n_sessions; i++) {
		due = session_tick(&sessions[i], now, ending);
		next = due < next ? due : next;
		for (j = 0; j < sw_opt.n_links; j++) {
			struct link *l = &sessions[i].links[j];

			if (l->state == LINK_DOWN || PQsocket(l->conn) < 0)
				continue;
			fds[n].fd = PQsocket(l->conn);
			fds[n].events = l->wanted;
			who[n].s = &sessions[i];
			who[n++].l = l;
		}
	}
	/* In milliseconds, rounded up: a session that thinks for less is late by at most one. */
	if (poll(fds, (nfds_t)n, (int)((next - now + 999) / 1000)) < 0) {
		if (errno != EINTR)
			sw_die("poll failed: %s", strerror(errno));
		return;
	}
	for (i = 0; i < n; i++) {
		if (!fds[i].revents || who[i].l->state == LINK_DOWN)
			continue;
		if (who[i].l->state != LINK_READY)
			sw_link_advance(who[i].l);
		else if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			sw_session_read(who[i].s, who[i].l);
		else
			sw_link_flush(who[i].l);
	}
}

static int busy_sessions(void)
{
	int i, n = 0;

	for (i = 0; i < sw_opt.n_sessions; i++)
		n += sessions[i].at != NULL;
	return n;
}

/* Both minima must be met before the maximum ends it anyway. */
static bool is_over(int64_t elapsed_us)
{
	bool enough = (sw_opt.ops || sw_opt.least_seconds) && sw_count.ops >= sw_opt.ops &&
	              elapsed_us >= sw_opt.least_seconds * INT64_C(1000000);

	return stopping || enough || (sw_opt.seconds && elapsed_us >= sw_opt.seconds * INT64_C(1000000));
}

static void print_summary(int64_t elapsed_us)
{
	printf("{\"seconds\":%.3f,\"ops\":%" PRId64 ",\"reads\":%" PRId64 ",\"writes\":%" PRId64
	       ",\"transactions\":%" PRId64 ",\"failed\":%" PRId64 ",\"unknown\":%" PRId64
	       ",\"lost\":%" PRId64 ",\"refused\":%" PRId64 ",\"stalled\":%" PRId64 ",\"sessions\":%" PRId64
	       ",\"states\":{",
	        (double)elapsed_us / 1e6, sw_count.ops, sw_count.reads, sw_count.writes, sw_count.units,
	        sw_count.failed, sw_count.unknown, sw_count.lost, sw_count.refused, sw_count.stalled,
	        sw_count.next_session);
	for (int i = 0; i < sw_count.n_states; i++)
		printf("%s\"%s\":%" PRId64, i ? "," : "", sw_count.states[i].state, sw_count.states[i].n);
	puts("}}");
}

static void run(void)
{
	int64_t start = sw_now_us(), elapsed, grace;

	while (elapsed = sw_now_us() - start, !is_over(elapsed))
		turn(false);
	grace = sw_now_us() + GRACE_US;
	while (busy_sessions() && sw_now_us() < grace)
		turn(true);
	sw_count.stalled += busy_sessions();
	print_summary(elapsed);
}

static void add_conninfo(const char *conninfo)
{
	if (sw_opt.n_links == MAX_LINKS)
		sw_die("more than %d nodes", MAX_LINKS);
	sw_opt.conninfo[sw_opt.n_links++] = conninfo;
}

static void parse_mode(const char *text)
{
	static const char *const names[] = {"mix", "rmw", "reads"};

	for (int i = 0; i < 3; i++) {
		if (!strcmp(text, names[i])) {
			sw_opt.mode = (enum mode)i;
			return;
		}
	}
	sw_die("--mode is \"%s\": give mix, rmw or reads", text);
}

static const struct {
	const char *name;
	int *value;
	int low, high;
} numbers[] = {
        {"sessions", &sw_opt.n_sessions, 1, MAX_SESSIONS}, {"registers", &sw_opt.n_registers, 1, 1000000},
        {"ops", &sw_opt.ops, 1, 1000000000},                  /* end after so many accesses ... */
        {"least-seconds", &sw_opt.least_seconds, 1, 1000000}, /* ... but not before so many seconds ... */
        {"seconds", &sw_opt.seconds, 1, 1000000},             /* ... and after so many in any case */
        {"seed", &sw_opt.seed, 0, INT_MAX}, {"read-pct", &sw_opt.read_pct, 0, 100}, /* mode reads */
        {"browse", &sw_opt.browse, 0, 1000},         /* mode rmw: reads of other registers in between */
        {"think-us", &sw_opt.think_us, 0, 10000000}, /* mean pause between plans */
        {"churn", &sw_opt.churn, 0, 100000000},      /* mean number of plans on one connection, 0 = endless */
        {"stall", &sw_opt.stall_s, 1, 3600},         /* seconds after which an answer is given up */
};

#define N_NUMBERS ((int)(sizeof(numbers) / sizeof(numbers[0])))

static void parse_number(int at, const char *text)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*end || end == text || v < numbers[at].low || v > numbers[at].high)
		sw_die("--%s is \"%s\": give a number from %d to %d", numbers[at].name, text, numbers[at].low,
		        numbers[at].high);
	*numbers[at].value = (int)v;
}

static void parse_options(int argc, char **argv)
{
	struct option longs[N_NUMBERS + 6] = {{"proxy", 1, NULL, 'P'}, {"primary", 1, NULL, 'P'},
	        {"replica", 1, NULL, 'R'}, {"out", 1, NULL, 'o'}, {"mode", 1, NULL, 'm'}};
	int c, at = 0;

	for (int i = 0; i < N_NUMBERS; i++)
		longs[5 + i] = (struct option){numbers[i].name, 1, NULL, 'n'};
	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		if (c == 'n') {
			parse_number(at - 5, optarg);
		} else if (c == 'P' || c == 'R') {
			if ((c == 'R') != (sw_opt.n_links > 0))
				sw_die("--proxy or --primary comes once, before any --replica");
			add_conninfo(optarg);
		} else if (c == 'o') {
			sw_opt.out = optarg;
		} else if (c == 'm') {
			parse_mode(optarg);
		} else {
			exit(2);
		}
	}
	if (!sw_opt.n_links || !sw_opt.out || !(sw_opt.ops || sw_opt.seconds) || optind != argc)
		sw_die("give --proxy or --primary and --replica, --out FILE, and --ops or --seconds");
}

int main(int argc, char **argv)
{
	struct sigaction act = {.sa_handler = on_signal};

	parse_options(argc, argv);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	sw_history = fopen(sw_opt.out, "w");
	if (!sw_history)
		sw_die("cannot write \"%s\": %s", sw_opt.out, strerror(errno));
	setvbuf(sw_history, NULL, _IOFBF, 1 << 20);
	sessions = calloc((size_t)sw_opt.n_sessions, sizeof(*sessions));
	if (!sessions)
		sw_die("out of memory");
	for (int i = 0; i < sw_opt.n_sessions; i++) {
		sessions[i].slot = i;
		sessions[i].number = ++sw_count.next_session;
		sessions[i].rng =
		        ((uint64_t)sw_opt.seed + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ (uint64_t)(i + 1) << 32;
		for (int j = 0; j < sw_opt.n_links; j++)
			sessions[i].links[j].conninfo = sw_opt.conninfo[j];
	}
	run();
	for (int i = 0; i < sw_opt.n_sessions; i++)
		for (int j = 0; j < sw_opt.n_links; j++)
			PQfinish(sessions[i].links[j].conn);
	free(sessions);
	if (fclose(sw_history))
		sw_die("cannot write \"%s\": %s", sw_opt.out, strerror(errno));
	return 0;
}
