/*
 * What a session does next, by dice: single statements in three protocols, transactions, several statements
 * in one string or one pipeline.
 *
 * Owns: nothing; a plan is written into its session. Called in the loop's thread.
 * Invariant: a transaction has at most one UPDATE, so that two sessions never deadlock; the same seed makes
 * the same plans, though not at the same times.
 * Not here: sending them (session.c).
 */
#include "tests/chaos/workload.h"

#include <string.h>

static uint64_t random_bits(struct session *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng * UINT64_C(0x2545F4914F6CDD1D) >> 16;
}

int sw_random_below(struct session *s, int n)
{
	return (int)(random_bits(s) % (uint64_t)n);
}

void sw_plan_add(struct session *s, enum step_kind kind, enum how how, int reg, bool joined)
{
	struct step *step = &s->plan[s->n_steps++];

	step->kind = kind;
	step->how = how;
	step->reg = reg;
	step->joined = joined;
	if (kind == STEP_WRITE)
		s->last_written = reg;
}

/* Half of the accesses meet a few registers that everybody wants: sessions see each other's versions. */
static int pick_register(struct session *s)
{
	int crowded = sw_opt.n_registers < 10 ? sw_opt.n_registers : sw_opt.n_registers / 10;

	return 1 + sw_random_below(s, random_bits(s) & 1 ? crowded : sw_opt.n_registers);
}

static int pick_read(struct session *s)
{
	return s->last_written && random_bits(s) % 3 ? s->last_written : pick_register(s);
}

static void plan_transaction(struct session *s, bool read_only)
{
	bool joined = sw_random_below(s, 5) == 0;
	enum how how = (enum how)sw_random_below(s, 4);
	enum how verb = how == HOW_PIPELINE ? HOW_PIPELINE : HOW_SIMPLE;
	int reg = pick_register(s), i, reads = 1 + sw_random_below(s, 4);

	joined |= how == HOW_PIPELINE;
	if (joined && how != HOW_PIPELINE)
		how = HOW_SIMPLE;
	sw_plan_add(s, read_only ? STEP_BEGIN_RO : STEP_BEGIN, verb, 0, false);
	if (!read_only)
		sw_plan_add(s, STEP_WRITE, how, reg, joined);
	for (i = 0; i < reads; i++)
		sw_plan_add(s, STEP_READ, how, i || read_only ? pick_read(s) : reg, joined);
	sw_plan_add(s, sw_random_below(s, 12) ? STEP_COMMIT : STEP_ROLLBACK, verb, 0, joined);
}

static void plan_mix(struct session *s)
{
	enum how how = (enum how)sw_random_below(s, 3);
	enum how group = random_bits(s) & 1 ? HOW_SIMPLE : HOW_PIPELINE;
	int reg = pick_register(s), dice = sw_random_below(s, 100), i;

	if (dice < 20) {
		sw_plan_add(s, STEP_WRITE, how, reg, false);
	} else if (dice < 62) {
		sw_plan_add(s, STEP_READ, how, pick_read(s), false);
	} else if (dice < 72) {
		plan_transaction(s, false);
	} else if (dice < 84) {
		plan_transaction(s, true);
	} else if (dice < 92) {
		sw_plan_add(s, STEP_WRITE, group, reg, false);
		sw_plan_add(s, STEP_READ, group, reg, true);
	} else {
		for (i = 0; i < 3; i++)
			sw_plan_add(s, STEP_READ, group, pick_read(s), i > 0);
	}
}

/* Write the own register, read it back at once, then look at what others wrote. */
static void plan_rmw(struct session *s)
{
	int own = 1 + s->slot % sw_opt.n_registers;
	int64_t at = s->n_plans % (2 + sw_opt.browse);

	if (at == 0)
		sw_plan_add(s, STEP_WRITE, HOW_SIMPLE, own, false);
	else
		sw_plan_add(s, STEP_READ, HOW_SIMPLE, at == 1 ? own : pick_register(s), false);
	s->is_hurried = at == 0;
}

void sw_plan_make(struct session *s)
{
	enum how how = (enum how)sw_random_below(s, 3);

	s->n_steps = 0;
	s->is_hurried = false;
	if (sw_opt.mode == MODE_RMW)
		plan_rmw(s);
	else if (sw_opt.mode == MODE_READS && sw_random_below(s, 100) < sw_opt.read_pct)
		sw_plan_add(s, STEP_READ, how, pick_read(s), false);
	else if (sw_opt.mode == MODE_READS)
		sw_plan_add(s, STEP_WRITE, how, pick_register(s), false);
	else
		plan_mix(s);
	s->n_plans++;
}

bool sw_plan_only_reads(const struct session *s)
{
	return s->plan[0].kind == STEP_READ || s->plan[0].kind == STEP_BEGIN_RO;
}
