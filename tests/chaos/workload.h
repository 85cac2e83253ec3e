/*
 * What the parts of the load generator share: the options, the counters, and a session as it goes through its
 * plans. Which part does what stands at the top of workload.c.
 */
#ifndef TESTS_CHAOS_WORKLOAD_H
#define TESTS_CHAOS_WORKLOAD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MAX_LINKS    8 /* one primary and seven replicas; a test cluster has two */
#define MAX_STEPS    8 /* the longest plan is BEGIN, five accesses, COMMIT */
#define MAX_SESSIONS 2000
#define MAX_STATES   64     /* different SQLSTATEs counted by name */
#define RETRY_US     200000 /* between attempts to connect; a standby needs about a second to restart */

enum step_kind { STEP_BEGIN, STEP_BEGIN_RO, STEP_READ, STEP_WRITE, STEP_COMMIT, STEP_ROLLBACK };
enum how { HOW_SIMPLE, HOW_EXTENDED, HOW_PREPARED, HOW_PIPELINE };
enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_PREPARE_READ, LINK_PREPARE_WRITE, LINK_READY };
enum mode { MODE_MIX, MODE_RMW, MODE_READS };

struct step {
	enum step_kind kind;
	enum how how;
	int reg;
	bool joined; /* leaves in one string, or one pipeline, with the step before */
};

struct link {
	PGconn *conn;
	const char *conninfo;
	enum link_state state;
	short wanted; /* what PQconnectPoll or PQflush waits for */
	int64_t retry_us;
};

struct session {
	int slot;
	int64_t number; /* the causal session, new after every lost connection */
	uint64_t rng;
	struct link links[MAX_LINKS];
	struct link *at; /* where the plan runs; NULL between plans */
	struct step plan[MAX_STEPS];
	int n_steps;
	int first, last; /* the group in flight is [first, last) ... */
	int cur;         /* ... and this the step whose result is next */
	int64_t unit;    /* the transaction's number, 0 for a single statement */
	int64_t n_units, n_plans;
	int64_t sent_us, wake_us;
	int last_written;
	bool is_hurried; /* the next plan follows this one at once, without a pause to think */
	bool failed;     /* a step of this plan was refused */
	bool unknown;    /* ... and whether it took effect cannot be told */
	bool aborted;    /* the plan has been replaced by its ROLLBACK */
};

struct options {
	const char *out;
	const char *conninfo[MAX_LINKS];
	int n_links;
	enum mode mode;
	int n_sessions, n_registers, read_pct, browse, think_us, churn, stall_s;
	int ops, seconds, least_seconds, seed;
};

struct counters {
	int64_t ops, reads, writes, failed, unknown, units, lost, refused, stalled, next_session;
	struct {
		char state[6];
		int64_t n;
	} states[MAX_STATES];
	int n_states;
};

/* All three: one thread, set up by main(). */
extern struct options sw_opt;
extern struct counters sw_count;
extern FILE *sw_history;

int64_t sw_now_us(void);
void sw_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* plan.c */
int sw_random_below(struct session *s, int n);
void sw_plan_add(struct session *s, enum step_kind kind, enum how how, int reg, bool joined);
void sw_plan_make(struct session *s);
bool sw_plan_only_reads(const struct session *s);

/* session.c */
bool sw_session_ready(const struct session *s);
void sw_session_start(struct session *s);
void sw_session_read(struct session *s, struct link *l);
void sw_session_lost(struct session *s, struct link *l, const char *why);
void sw_session_renew(struct session *s);
void sw_link_connect(struct link *l);
void sw_link_advance(struct link *l);
void sw_link_flush(struct link *l);

#endif
