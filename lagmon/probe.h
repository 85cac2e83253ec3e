/*
 * The monitor's eye on one node: a connection that samples the node's position, at leisure or as fast as it
 * answers. Control thread only.
 */
#ifndef SW_LAGMON_PROBE_H
#define SW_LAGMON_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lagmon/health.h"
#include "lagmon/view.h"

struct sw_config;
struct sw_probe;

/* What changes seldom; read when a connection is made and every few seconds. */
struct sw_probe_facts {
	uint64_t system_id;
	int64_t start_time_us; /* µs since 2000-01-01 */
	uint32_t page_bytes;
	uint64_t segment_bytes;
	uint32_t timeline;     /* of the last checkpoint: the least that it can be */
	bool is_apply_delayed; /* recovery_min_apply_delay */
};

struct sw_probe_sample {
	int64_t sent_ns;       /* when its query was sent */
	struct sw_position at; /* normalised insert LSN, or replay LSN; LSN 0 = the replica has none yet */
	bool is_in_recovery;
	bool is_paused;
	bool is_role_changed; /* against the sample before, on the same connection: the node was promoted */
};

/* What the owner asks beside the samples (shown.h). */
enum sw_probe_question {
	SW_PROBE_PROGRESS, /* of a primary: what is in progress there? */
	SW_PROBE_SHOWN,    /* of a replica: what of that does it show as committed? */
};

struct sw_probe_ask {
	enum sw_probe_question question;
	int64_t sent_ns;       /* filled in by the owner: when it decided to ask */
	const char *values[2]; /* with SHOWN: the primary's snapshot and its next transaction id; copied */
};

/* The fields of its one row, valid during the call. NULL: there is no answer, but an error or a broken connection. */
struct sw_probe_answer {
	bool is_in_recovery;
	const char *snapshot; /* with PROGRESS */
	int64_t age;          /* …, of transaction id 3 */
	const char *committed; /* with SHOWN: rising, with commas; NULL: they are too many */
};

/* Called from the loop. None may close the probe. */
struct sw_probe_hooks {
	void (*on_connected)(int node, int64_t since_ns, void *arg);
	void (*on_sample)(int node, const struct sw_probe_sample *sample, const struct sw_probe_facts *facts,
	        enum sw_health_change change, void *arg);
	/* is_broken: there is no connection any more; sw_probe_error says why. */
	void (*on_failure)(int node, bool is_broken, enum sw_health_change change, void *arg);
	/* The connection is free. True: ret_ask goes out, and one on_answer follows. False: not before *ret_due_ns, if that is set. */
	bool (*on_free)(int node, struct sw_probe_ask *ret_ask, int64_t *ret_due_ns, void *arg);
	/* May not kick the node itself, which is free right after. */
	void (*on_answer)(int node, const struct sw_probe_ask *ask, const struct sw_probe_answer *answer, void *arg);
};

/*
 * Starts with the loop's next turn. board: tells whether anybody waits for samples. The configuration is
 * borrowed until sw_probe_set_config or the end.
 */
struct sw_probe *sw_probe_new(uv_loop_t *loop, const struct sw_board *board, int node,
        const struct sw_config *config, const struct sw_probe_hooks *hooks, void *arg);
/* on_closed comes once, from the loop; then the probe is freed. */
void sw_probe_close(struct sw_probe *probe, void (*on_closed)(void *arg), void *arg);
/* The login of the present connection stays until it ends. */
void sw_probe_set_config(struct sw_probe *probe, const struct sw_config *config);

/* Somebody waits: sample or ask now, or as soon as min_interval allows. */
void sw_probe_kick(struct sw_probe *probe);

bool sw_probe_is_up(const struct sw_probe *probe);
/* Was it asked at least once, with whatever outcome? */
bool sw_probe_is_asked(const struct sw_probe *probe);
/* "" when it is well. */
const char *sw_probe_error(const struct sw_probe *probe);
uint64_t sw_probe_samples(const struct sw_probe *probe);

#endif
