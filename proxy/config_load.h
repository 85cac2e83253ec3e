/*
 * A configuration while it is being read: the struct so far, and where in the file each part of it stood.
 * Shared by config_load.c (lines into fields) and config_check.c (what fits together); nobody else includes
 * it.
 */
#ifndef SW_PROXY_CONFIG_LOAD_H
#define SW_PROXY_CONFIG_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/config.h"
#include "proxy/config_table.h"

/* Entries of [databases] and of [users]: they are searched one after the other whenever a client logs in. */
#define SW_CONFIG_ENTRIES_MAX 1000

struct sw_config_load {
	const char *path; /* as the operator wrote it: for messages */
	FILE *faults;
	uint32_t fault_count;
	struct sw_config *config;
	uint32_t key_lines[SW_CONFIG_KEYS_MAX];          /* by row of the table; 0 = the default holds */
	uint32_t nodes_line, databases_line, users_line; /* of the section's header; 0 = none */
	uint32_t last_line;
	struct sw_database_line *databases; /* config->database_count of them */
	uint32_t database_size, user_size;  /* allocated entries */
};

/* Counts a fault and writes "path:line: text". */
void sw_config_fault(struct sw_config_load *load, uint32_t line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The line of a global key; where its default holds, the file's last line. */
uint32_t sw_config_key_line(const struct sw_config_load *load, const char *section, const char *name);

/*
 * When every line has been read: what holds between keys, and what follows from them (absolute paths,
 * workers, lag classes, the entry "*"). Fills config->databases from load->databases.
 */
void sw_config_finish(struct sw_config_load *load);

#endif
