/*
 * From a file to a struct, line by line. inih splits a line into key and value and takes comments away; what
 * it does not do is done here: it names no line to its handler, goes on silently after a line that it does
 * not understand, cuts section names at 49 bytes and lines at a limit, and takes an indented line for the
 * rest of the one before. Control thread; the only user of inih, whose settings are process-wide variables.
 *
 * Invariant: inih gets exactly one line a call of read_line(), so load->line is the line that its handler is
 * called for. Every fault is reported and the reading goes on; a file with a fault gives no configuration.
 * Not here: ranges and formats (config_table.c), what holds between keys (config_check.c).
 */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/mem.h"
#include "proxy/config_load.h"

/* A file of this many bytes has thousands of databases; a larger one is a mistake (a device, a log). */
#define FILE_BYTES_MAX (1024 * 1024)

/* A line; room for a list of SW_CONFIG_FUNCTIONS_MAX short names. inih's own limit is 200. */
#define LINE_BYTES_MAX 16384

/* What inih wants on top of a line: carriage return, newline, NUL. */
#define LINE_EXTRA 3

#define SECTION_MAX 32

struct reading {
	struct sw_config_load load;
	char *text, *at; /* the whole file, NUL-ended; the next line */
	char *end;
	uint32_t line;                  /* that inih works on */
	char section[SECTION_MAX];      /* "" = none yet */
	bool is_section_ignored;        /* its header was a fault, once is enough */
	bool is_pair_due;               /* inih got a line that must come back as a key and its value */
	bool given[SW_CONFIG_KEYS_MAX]; /* attributes of the present line, by row of the table */
};

void sw_config_fault(struct sw_config_load *load, uint32_t line, const char *format, ...)
{
	va_list args;

	load->fault_count++;
	if (!load->faults)
		return;
	fprintf(load->faults, "%s:%u: ", load->path, line ? line : 1);
	va_start(args, format);
	vfprintf(load->faults, format, args);
	va_end(args);
	fputc('\n', load->faults);
}

uint32_t sw_config_key_line(const struct sw_config_load *load, const char *section, const char *name)
{
	const struct sw_config_key *key = sw_config_key_find(section, name);
	uint32_t line = key ? load->key_lines[key - sw_config_keys] : 0;

	return line ? line : load->last_line;
}

/* ---- lines: what inih is given */

static void begin_section(struct reading *reading, const char *line, size_t len)
{
	const char *close = memchr(line, ']', len);
	const char *rest = close ? close + 1 : NULL;
	char why[SW_WHY_MAX];
	size_t name_len;

	reading->is_section_ignored = true;
	while (rest && (*rest == ' ' || *rest == '\t' || *rest == '\r'))
		rest++;
	if (!close || (*rest != '\n' && *rest != '\0' && *rest != ';' && *rest != '#')) {
		sw_config_fault(&reading->load, reading->line,
		        "\"%.*s\" is not a section: write \"[name]\" alone on its line",
		        (int)(len < 60 ? len : 60), line);
		return;
	}
	name_len = (size_t)(close - line - 1);
	if (name_len >= SECTION_MAX)
		name_len = SECTION_MAX - 1;
	memcpy(reading->section, line + 1, name_len);
	reading->section[name_len] = '\0';
	if (sw_config_explain_unknown_section(reading->section, why)) {
		sw_config_fault(&reading->load, reading->line, "%s", why);
		/* The keys below are worth checking all the same: it is a pgbouncer.ini on its way to us. */
		if (strcmp(reading->section, "pgbouncer") != 0)
			return;
		strcpy(reading->section, "seawall");
	}
	reading->is_section_ignored = false;
	if (strcmp(reading->section, "nodes") == 0)
		reading->load.nodes_line = reading->line;
	else if (strcmp(reading->section, "databases") == 0)
		reading->load.databases_line = reading->line;
	else if (strcmp(reading->section, "users") == 0)
		reading->load.users_line = reading->line;
}

/* The handler was not called for the line before: it had no '=' (or ':'). */
static void report_missing_pair(struct reading *reading)
{
	if (reading->is_pair_due && !reading->is_section_ignored)
		sw_config_fault(&reading->load, reading->line,
		        "the line has no \"=\": write \"key = value\" or begin it with \";\"");
	reading->is_pair_due = false;
}

/* Decides whether inih is to see a line; len is without its newline. */
static bool is_for_inih(struct reading *reading, const char *line, size_t len, size_t room)
{
	if (memchr(line, '\0', len)) {
		sw_config_fault(&reading->load, reading->line,
		        "the line has a zero byte: save the file as plain text (UTF-8)");
		return false;
	}
	if (len == 0 || *line == ';' || *line == '#' || *line == '\r')
		return false;
	if (len > room) {
		sw_config_fault(&reading->load, reading->line,
		        "the line has %zu bytes: at most %zu are allowed, shorten it", len, room);
		return false;
	}
	if (*line == '[') {
		begin_section(reading, line, len);
		return false;
	}
	reading->is_pair_due = true;
	return true;
}

/* The ini_reader. Without indentation: inih would take an indented line for a part of the value above it. */
static char *read_line(char *out, int size, void *stream)
{
	struct reading *reading = stream;
	char *start = reading->at, *end;
	size_t len;

	report_missing_pair(reading);
	if (start == reading->end)
		return NULL;
	reading->line++;
	end = memchr(start, '\n', (size_t)(reading->end - start));
	reading->at = end ? end + 1 : reading->end;
	if (!end)
		end = reading->end;
	while (start < end && (*start == ' ' || *start == '\t'))
		start++;
	len = (size_t)(end - start);
	if (!is_for_inih(reading, start, len, (size_t)size - LINE_EXTRA))
		len = 0;
	memcpy(out, start, len);
	out[len] = '\n';
	out[len + 1] = '\0';
	return out;
}

/* ---- keys: what inih gives back */

static void set_global(struct reading *reading, const char *name, const char *value)
{
	const struct sw_config_key *key = sw_config_key_find(reading->section, name);
	struct sw_config_load *load = &reading->load;
	char why[SW_WHY_MAX];
	uint32_t *line;

	if (!key) {
		sw_config_explain_unknown_key(reading->section, name, why);
		sw_config_fault(load, reading->line, "%s", why);
		return;
	}
	line = &load->key_lines[key - sw_config_keys];
	if (*line) {
		sw_config_fault(load, reading->line,
		        "\"%s\" is given twice, first on line %u: remove one of the lines", name, *line);
		return;
	}
	*line = reading->line;
	if (sw_config_key_set(key, load->config, value, why) != SW_OK)
		sw_config_fault(load, reading->line, "\"%s\": %s", name, why);
}

/* The attributes of a line of [nodes], [databases] or [users] into *base; reading->given says which there
 * were. */
static void set_attributes(struct reading *reading, const char *entry, const char *text, void *base)
{
	struct sw_config_load *load = &reading->load;
	char *line = sw_mem_strdup(text), *cursor = line;
	const char *name, *value;
	char why[SW_WHY_MAX];
	enum sw_err err;

	memset(reading->given, 0, sizeof(reading->given));
	while ((err = sw_value_next_pair(&cursor, &name, &value, why)) == SW_OK) {
		const struct sw_config_key *key = sw_config_key_find(reading->section, name);

		if (!key) {
			sw_config_explain_unknown_key(reading->section, name, why);
			sw_config_fault(load, reading->line, "\"%s\": %s", entry, why);
			continue;
		}
		if (reading->given[key - sw_config_keys]) {
			sw_config_fault(load, reading->line,
			        "\"%s\": \"%s\" is given twice: remove one of them", entry, name);
			continue;
		}
		reading->given[key - sw_config_keys] = true;
		if (sw_config_key_set(key, base, value, why) != SW_OK)
			sw_config_fault(load, reading->line, "\"%s\": \"%s\": %s", entry, name, why);
	}
	if (err != SW_ERR_NOT_FOUND)
		sw_config_fault(load, reading->line, "\"%s\": %s", entry, why);
	sw_mem_free(line);
}

/* The defaults of an entry's attributes, where they have any. */
static void set_attribute_defaults(const char *section, void *base)
{
	char why[SW_WHY_MAX];

	for (uint32_t i = 0; i < sw_config_key_count; i++) {
		const struct sw_config_key *key = &sw_config_keys[i];

		if (strcmp(key->section, section) == 0 && key->default_text &&
		        sw_config_key_set(key, base, key->default_text, why) != SW_OK)
			abort(); /* a unit test reads every default */
	}
}

/* The name of an entry, without the double quotes that it may stand in. */
static bool take_name(struct reading *reading, const char *text, char *out)
{
	size_t len = strlen(text);

	if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= SW_NAME_MAX) {
		sw_config_fault(&reading->load, reading->line,
		        "a name of %zu bytes in [%s]: write one of 1 to %d bytes", len, reading->section,
		        SW_NAME_MAX - 1);
		return false;
	}
	if (memchr(text, '"', len)) {
		sw_config_fault(&reading->load, reading->line,
		        "the name \"%.*s\" cannot be used: leave out '\"', '=' and ':'", (int)len, text);
		return false;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

/* A node's name stands in metrics, URLs and console commands without quotes. */
static bool is_plain_name(const char *name)
{
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
	       strlen(name);
}

static void check_node(struct reading *reading, const struct sw_node_config *node)
{
	const struct sw_config_key *host = sw_config_key_find("nodes", "host");
	struct sw_config_load *load = &reading->load;
	const struct sw_config *config = load->config;

	if (!is_plain_name(node->name))
		sw_config_fault(load, reading->line,
		        "the node name \"%s\" cannot be used: write letters, digits, '_', '-', '.'",
		        node->name);
	if (!reading->given[host - sw_config_keys])
		sw_config_fault(load, reading->line,
		        "node \"%s\" has no host: write \"%s = host=ADDRESS port=5432\"", node->name,
		        node->name);
	else if (!node->host[0] || strpbrk(node->host, ", \t"))
		sw_config_fault(load, reading->line,
		        "node \"%s\": \"%s\" is not one host: write a name, an address or a folder",
		        node->name, node->host);
	for (uint32_t i = 0; i < config->node_count; i++) {
		const struct sw_node_config *other = &config->nodes[i];

		if (strcmp(other->name, node->name) == 0)
			sw_config_fault(load, reading->line,
			        "node \"%s\" is given twice, first on line %u: remove or rename one",
			        node->name, other->line);
		else if (node->host[0] && strcmp(other->host, node->host) == 0 && other->port == node->port)
			sw_config_fault(load, reading->line,
			        "node \"%s\" is the same server as \"%s\" on line %u (%s port %u): remove "
			        "one",
			        node->name, other->name, other->line, node->host, node->port);
	}
}

static void add_node(struct reading *reading, const char *name, const char *value)
{
	struct sw_config *config = reading->load.config;
	struct sw_node_config node = {.line = reading->line};

	if (!take_name(reading, name, node.name))
		return;
	set_attribute_defaults("nodes", &node);
	set_attributes(reading, node.name, value, &node);
	check_node(reading, &node);
	if (config->node_count == SW_NODES_MAX) {
		sw_config_fault(&reading->load, reading->line,
		        "node \"%s\" is one too many: at most %d nodes are possible", node.name,
		        SW_NODES_MAX);
		return;
	}
	config->nodes[config->node_count++] = node;
}

/* Makes room for one more entry of an array that doubles; false where there are enough. */
static bool grow(struct reading *reading, void **entries, uint32_t count, uint32_t *size, size_t entry_bytes)
{
	if (count == SW_CONFIG_ENTRIES_MAX) {
		sw_config_fault(&reading->load, reading->line,
		        "too many lines in [%s]: at most %d are possible", reading->section,
		        SW_CONFIG_ENTRIES_MAX);
		return false;
	}
	if (count == *size) {
		*size = *size ? *size * 2 : 8;
		*entries = sw_mem_realloc(*entries, *size * entry_bytes);
	}
	return true;
}

static void add_database(struct reading *reading, const char *name, const char *value)
{
	struct sw_config_load *load = &reading->load;
	struct sw_config *config = load->config;
	struct sw_database_line line = {.config.line = reading->line};
	void *entries = load->databases;

	if (!take_name(reading, name, line.config.name))
		return;
	set_attributes(reading, line.config.name, value, &line);
	if (strcmp(line.config.name, "seawall") == 0 || strcmp(line.config.name, "pgbouncer") == 0)
		sw_config_fault(load, reading->line,
		        "\"%s\" is the console's name: use another name and dbname=%s", line.config.name,
		        line.config.name);
	for (uint32_t i = 0; i < config->database_count; i++)
		if (strcmp(load->databases[i].config.name, line.config.name) == 0)
			sw_config_fault(load, reading->line,
			        "database \"%s\" is given twice, first on line %u: remove or rename one",
			        line.config.name, load->databases[i].config.line);
	if (!grow(reading, &entries, config->database_count, &load->database_size, sizeof(line)))
		return;
	load->databases = entries;
	load->databases[config->database_count++] = line;
}

static void add_user(struct reading *reading, const char *name, const char *value)
{
	struct sw_config_load *load = &reading->load;
	struct sw_config *config = load->config;
	struct sw_user_config user = {.line = reading->line};
	void *entries = config->users;

	if (!take_name(reading, name, user.name))
		return;
	set_attributes(reading, user.name, value, &user);
	if (strcmp(user.name, "*") == 0)
		sw_config_fault(load, reading->line,
		        "\"*\" is not possible in [users]: set it for all in [seawall] or [routing], or name "
		        "the user");
	for (uint32_t i = 0; i < config->user_count; i++)
		if (strcmp(config->users[i].name, user.name) == 0)
			sw_config_fault(load, reading->line,
			        "user \"%s\" is given twice, first on line %u: remove one", user.name,
			        config->users[i].line);
	if (!grow(reading, &entries, config->user_count, &load->user_size, sizeof(user)))
		return;
	config->users = entries;
	config->users[config->user_count++] = user;
}

/* The ini_handler. inih's own idea of the section is not used: it never saw a header. */
static int take_pair(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *reading = arg;

	(void)section;
	reading->is_pair_due = false;
	if (reading->is_section_ignored)
		return 1;
	if (!reading->section[0])
		sw_config_fault(&reading->load, reading->line,
		        "\"%.100s\" stands before the first section: write [seawall] above it", name);
	else if (!name[0])
		sw_config_fault(&reading->load, reading->line,
		        "nothing stands before the \"=\": write \"key = value\"");
	else if (strcmp(reading->section, "nodes") == 0)
		add_node(reading, name, value);
	else if (strcmp(reading->section, "databases") == 0)
		add_database(reading, name, value);
	else if (strcmp(reading->section, "users") == 0)
		add_user(reading, name, value);
	else
		set_global(reading, name, value);
	return 1;
}

/* ---- the file */

/* The whole file, NUL-ended; NULL (and a fault) where it cannot be had. It may hold a password: wipe it. */
static char *read_file(struct sw_config_load *load, size_t *ret_len)
{
	FILE *file = fopen(load->path, "re");
	char *text = NULL;
	size_t len;

	if (!file) {
		sw_config_fault(
		        load, 0, "the file cannot be opened: %s: check its name and rights", strerror(errno));
		return NULL;
	}
	text = sw_mem_alloc(FILE_BYTES_MAX + 2);
	len = fread(text, 1, FILE_BYTES_MAX + 1, file);
	if (ferror(file)) {
		sw_config_fault(
		        load, 0, "the file cannot be read: %s: check that it is a file", strerror(errno));
	} else if (len > FILE_BYTES_MAX) {
		sw_config_fault(load, 0, "the file has more than %d bytes: check that it is the right one",
		        FILE_BYTES_MAX);
	} else {
		text[len] = '\0';
		*ret_len = len;
		fclose(file);
		return text;
	}
	fclose(file);
	sw_mem_wipe(text, FILE_BYTES_MAX + 2);
	sw_mem_free(text);
	return NULL;
}

static void set_defaults(struct sw_config *config)
{
	set_attribute_defaults("seawall", config);
	set_attribute_defaults("routing", config);
	set_attribute_defaults("monitor", config);
}

static void read_lines(struct reading *reading, size_t len)
{
	static const char bom[] = "\xef\xbb\xbf";

	reading->at = reading->text;
	reading->end = reading->text + len;
	if (len >= 3 && memcmp(reading->text, bom, 3) == 0)
		reading->at += 3;
	ini_max_line = LINE_BYTES_MAX + LINE_EXTRA;
	ini_initial_alloc = ini_max_line;
	ini_use_stack = false;
	if (ini_parse_stream(read_line, reading, take_pair, reading) < 0)
		sw_config_fault(&reading->load, reading->line,
		        "the file could not be read to its end: out of memory");
	reading->load.last_line = reading->line;
}

struct sw_config *sw_config_load(const char *path, FILE *faults)
{
	struct reading reading = {.load = {.path = path, .faults = faults}};
	struct sw_config *config = SW_NEW(struct sw_config);
	size_t len = 0;

	reading.load.config = config;
	atomic_init(&config->refs, 1);
	set_defaults(config);
	reading.text = read_file(&reading.load, &len);
	if (reading.text) {
		read_lines(&reading, len);
		sw_config_finish(&reading.load);
		sw_mem_wipe(reading.text, len);
	}
	sw_mem_free(reading.text);
	sw_mem_free(reading.load.databases);
	if (reading.load.fault_count == 0)
		return config;
	sw_config_unref(config);
	return NULL;
}
