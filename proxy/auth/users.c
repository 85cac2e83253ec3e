/*
 * The auth_file: names and secrets. Loaded by the control thread, then immutable but for the key sets, which
 * lock themselves (secret.c); the last holder, on whatever thread, frees it. Invariant: entries are sorted by
 * name and no name is there twice. Reading a file blocks: never on a worker. Not here: auth_query
 * (secrets.c), and who may enter without a secret.
 */
#include "proxy/auth/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/auth/secret.h"
#include "proxy/base/mem.h"

/* A hundred thousand users with SCRAM secrets take 16 MB; a larger file is a wrong file. */
#define FILE_BYTES_MAX (32 * 1024 * 1024)

struct entry {
	char *name, *secret;
	struct sw_auth_keys *keys;
	unsigned line;
};

struct sw_auth_users {
	/* Any holder writes; relaxed to add, acquire and release to drop: the last one sees everything. */
	atomic_int refs;
	size_t count, size;
	struct entry *entries;
};

/* Where the parser is; faults are counted, not fatal, so that one run shows them all. */
struct parser {
	const char *at, *end; /* of the line */
	const char *path;
	unsigned line, faults;
	FILE *faults_file;
};

static void fault(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct parser *parser, const char *format, ...)
{
	va_list args;

	parser->faults++;
	fprintf(parser->faults_file, "%s:%u: ", parser->path, parser->line);
	va_start(args, format);
	vfprintf(parser->faults_file, format, args);
	va_end(args);
	fputc('\n', parser->faults_file);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_spaces(struct parser *parser)
{
	while (parser->at < parser->end && is_space(*parser->at))
		parser->at++;
}

/* Nothing more on this line, or a comment. */
static bool is_at_end(const struct parser *parser)
{
	return parser->at == parser->end || *parser->at == ';' || *parser->at == '#';
}

/* A quoted text into out, which has room for size - 1 bytes and the NUL. False after a fault. */
static bool take_quoted(struct parser *parser, const char *what, char *out, size_t size)
{
	size_t len = 0;

	if (parser->at == parser->end || *parser->at != '"') {
		fault(parser, "the %s must stand in double quotes: write \"name\" \"secret\"", what);
		return false;
	}
	parser->at++;
	for (; parser->at < parser->end; parser->at++) {
		if (*parser->at == '"') {
			parser->at++;
			if (parser->at == parser->end || *parser->at != '"') {
				out[len] = '\0';
				return true;
			}
		}
		if (*parser->at == '\0') {
			fault(parser, "the %s contains a NUL byte: remove it", what);
			return false;
		}
		if (len + 1 == size) {
			fault(parser, "the %s is longer than %zu bytes: shorten it", what, size - 1);
			return false;
		}
		out[len++] = *parser->at;
	}
	fault(parser, "the %s has no closing quote: add it on the same line", what);
	return false;
}

static void check_secret(struct parser *parser, const char *secret)
{
	const char *why = sw_secret_fault(secret);

	if (why)
		fault(parser, "%s", why);
}

static void add(struct sw_auth_users *users, const char *name, const char *secret, unsigned line)
{
	struct entry *entry;

	if (users->count == users->size) {
		users->size = users->size ? 2 * users->size : 16;
		users->entries = sw_mem_realloc(users->entries, users->size * sizeof(*users->entries));
	}
	entry = &users->entries[users->count++];
	entry->name = sw_mem_strdup(name);
	entry->secret = sw_mem_strdup(secret);
	entry->keys = sw_auth_keys_new();
	entry->line = line;
}

static void parse_line(struct parser *parser, struct sw_auth_users *users)
{
	char name[SW_NAME_MAX], secret[SW_SECRET_BYTES_MAX + 1];
	unsigned faults = parser->faults;

	skip_spaces(parser);
	if (is_at_end(parser) || !take_quoted(parser, "name", name, sizeof(name)))
		return;
	if (!*name)
		fault(parser, "the name is empty: write the name of the user between the first two quotes");
	if (parser->at < parser->end && !is_space(*parser->at)) {
		fault(parser, "there is no space behind the name: write \"name\" \"secret\"");
		return;
	}
	skip_spaces(parser);
	if (take_quoted(parser, "secret", secret, sizeof(secret))) {
		check_secret(parser, secret);
		skip_spaces(parser);
		if (!is_at_end(parser))
			fault(parser, "text behind the secret: double a quote that is part of it");
		if (parser->faults == faults)
			add(users, name, secret, parser->line);
	}
	sw_mem_wipe(secret, sizeof(secret));
}

static int by_name(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;
	int order = strcmp(one->name, other->name);

	return order ? order : (one->line > other->line) - (one->line < other->line);
}

static void find_twins(struct parser *parser, const struct sw_auth_users *users)
{
	for (size_t i = 1; i < users->count; i++) {
		const struct entry *first = &users->entries[i - 1], *second = &users->entries[i];

		if (strcmp(first->name, second->name) != 0)
			continue;
		parser->line = second->line;
		fault(parser, "user \"%s\" is on line %u already: remove one of the two", second->name,
		        first->line);
	}
}

struct sw_auth_users *sw_auth_users_parse(const char *text, size_t len, const char *path, FILE *faults_file)
{
	struct sw_auth_users *users = SW_NEW(struct sw_auth_users);
	struct parser parser = {.path = path, .faults_file = faults_file};
	const char *end = text + len;

	atomic_init(&users->refs, 1);
	for (const char *at = text; at < end; at = parser.end + 1) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		parser.at = at;
		parser.end = newline ? newline : end;
		parser.line++;
		parse_line(&parser, users);
		if (parser.end == end)
			break;
	}
	if (users->count > 1)
		qsort(users->entries, users->count, sizeof(*users->entries), by_name);
	find_twins(&parser, users);
	if (parser.faults == 0)
		return users;
	sw_auth_users_unref(users);
	return NULL;
}

/* Fills text; returns how much there was, or -1 with errno. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, text + len, size - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

static struct sw_auth_users *load_open(int fd, const char *path, FILE *faults_file)
{
	struct sw_auth_users *users = NULL;
	struct stat status;
	char *text;
	ssize_t len;

	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		fprintf(faults_file,
		        "%s:0: auth_file is not a regular file: name one of \"name\" \"secret\" lines\n",
		        path);
		return NULL;
	}
	if (status.st_size > FILE_BYTES_MAX) {
		fprintf(faults_file, "%s:0: auth_file is larger than %d bytes: is it the right file?\n", path,
		        FILE_BYTES_MAX);
		return NULL;
	}
	text = sw_mem_alloc((size_t)status.st_size);
	len = read_all(fd, text, (size_t)status.st_size);
	if (len < 0)
		fprintf(faults_file, "%s:0: auth_file cannot be read: %s\n", path, strerror(errno));
	else
		users = sw_auth_users_parse(text, (size_t)len, path, faults_file);
	sw_mem_wipe(text, (size_t)status.st_size);
	sw_mem_free(text);
	return users;
}

struct sw_auth_users *sw_auth_users_load(const char *path, FILE *faults_file)
{
	/* Not to hang on a FIFO that nobody writes to. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct sw_auth_users *users;

	if (fd < 0) {
		fprintf(faults_file, "%s:0: auth_file cannot be opened: %s\n", path, strerror(errno));
		return NULL;
	}
	users = load_open(fd, path, faults_file);
	close(fd);
	return users;
}

struct sw_auth_users *sw_auth_users_ref(struct sw_auth_users *users)
{
	atomic_fetch_add_explicit(&users->refs, 1, memory_order_relaxed);
	return users;
}

void sw_auth_users_unref(struct sw_auth_users *users)
{
	if (!users || atomic_fetch_sub_explicit(&users->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < users->count; i++) {
		struct entry *entry = &users->entries[i];

		sw_auth_keys_unref(entry->keys);
		sw_mem_wipe(entry->secret, strlen(entry->secret));
		sw_mem_free(entry->secret);
		sw_mem_free(entry->name);
	}
	sw_mem_free(users->entries);
	sw_mem_free(users);
}

static int is_named(const void *name, const void *entry)
{
	return strcmp(name, ((const struct entry *)entry)->name);
}

static struct entry *find(const struct sw_auth_users *users, const char *name)
{
	if (users->count == 0)
		return NULL;
	return bsearch(name, users->entries, users->count, sizeof(*users->entries), is_named);
}

const char *sw_auth_users_find(const struct sw_auth_users *users, const char *name)
{
	const struct entry *entry = find(users, name);

	return entry ? entry->secret : NULL;
}

struct sw_auth_keys *sw_auth_users_keys(const struct sw_auth_users *users, const char *name)
{
	const struct entry *entry = find(users, name);

	return entry ? entry->keys : NULL;
}

void sw_auth_users_adopt_keys(struct sw_auth_users *fresh, const struct sw_auth_users *old)
{
	for (size_t i = 0; i < fresh->count; i++) {
		const struct entry *before = find(old, fresh->entries[i].name);

		if (!before)
			continue;
		sw_auth_keys_unref(fresh->entries[i].keys);
		fresh->entries[i].keys = sw_auth_keys_ref(before->keys);
	}
}
