/*
 * pg_hba.conf and pg_ident.conf. Loaded by the control thread, then immutable; the last holder, on whatever thread,
 * frees them. Reading blocks: never on a worker; asking does not. Invariant: the lines of the files are kept, cut into
 * words in place, and every text of a rule or a mapping points into one of them. Faults are counted, not fatal, so that
 * one run shows them all; only an exceeded limit ends it. Not here: how a method proves anything, names of hosts,
 * memberships of roles. Long, for no part of the way from the bytes to a rule is of use without the others:
 *
 *	file -> lines, joined where one ends in a backslash -> words; commas make one field of several words
 *	fields -> a rule, or a mapping, or include: another file's lines, in its place
 *	@file -> another file's words, in its place
 */
#include "proxy/auth/hba.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <regex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/auth/pattern.h"
#include "proxy/base/mem.h"

/* Rules or mappings, which are tried one after the other at each login; files, read anew wherever they are named. */
#define ENTRIES_MAX 10000

/* All files together. As users.c: more is a wrong file. */
#define FILE_BYTES_MAX (32 * 1024 * 1024)

/* With its continuations. A longer one is a wrong file; many names belong into an @file. */
#define LINE_BYTES_MAX (1024 * 1024)

/* PostgreSQL's CONF_FILE_MAX_DEPTH. */
#define DEPTH_MAX 10

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

struct address {
	sa_family_t family;
	uint8_t bytes[16]; /* 4 of IPv4, the rest is 0 */
};

struct net {
	struct address address;
	uint8_t mask[16];
};

enum name_kind { NAME_PLAIN, NAME_PATTERN, NAME_ALL, NAME_SAMEUSER, NAME_REPLICATION };

struct name {
	enum name_kind kind;
	const char *text;
	regex_t *pattern;
};

/* Some of the names or nets of all rules. */
struct span {
	size_t first, count;
};

enum record { RECORD_LOCAL, RECORD_HOST, RECORD_HOSTNOGSSENC, RECORD_HOSTSSL, RECORD_HOSTNOSSL };

struct rule {
	struct sw_hba_rule says;
	enum record record;
	struct span databases, users, nets;
	bool is_everywhere; /* whatever nets has */
};

struct mapping {
	const char *map, *user;
	const char *slot; /* the first \1 in user, for what the first group of a pattern found; or NULL */
	size_t system;    /* in hba->names */
};

struct sw_hba {
	/* Any holder writes; relaxed to add, acquire and release to drop: the last one sees everything. */
	atomic_int refs;
	struct rule *rules;
	struct mapping *mappings;
	struct name *names;
	struct net *nets;
	char **texts; /* lines and paths of the files */
	size_t rule_count, mapping_count, name_count, net_count, text_count;
};

struct word {
	char *text;
	size_t field;   /* its number; words joined by commas have the same */
	bool is_quoted; /* at its beginning: then it is no keyword */
};

struct line {
	struct word *words;
	size_t count, field;
	size_t taken; /* words that take_field gave away */
};

/* Where the reader is. */
struct parser {
	struct sw_hba *hba;
	void (*take_line)(struct parser *parser, struct line *line);
	const char *path;
	unsigned line, faults, depth, files;
	size_t bytes; /* of all files so far */
	bool is_stopped;
	FILE *faults_file;
};

__attribute__((format(printf, 2, 3))) static void fault(struct parser *parser, const char *format, ...)
{
	va_list args;

	parser->faults++;
	fprintf(parser->faults_file, "%s:%u: ", parser->path, parser->line);
	va_start(args, format);
	vfprintf(parser->faults_file, format, args);
	va_end(args);
	fputc('\n', parser->faults_file);
}

/* An array with room for one more zeroed entry: it doubles at each power of two. */
static void *grown(void *list, size_t count, size_t entry_bytes)
{
	if ((count & (count - 1)) == 0)
		list = sw_mem_realloc(list, (count ? 2 * count : 1) * entry_bytes);
	memset((char *)list + count * entry_bytes, 0, entry_bytes);
	return list;
}

/* ---- fields */

/* The words of the next field; 0 where the line has ended, which is a fault where it should have what. */
static size_t take_field(struct parser *parser, struct line *line, const char *what, struct word **ret_words)
{
	size_t first = line->taken;

	while (line->taken < line->count && line->words[line->taken].field == line->words[first].field)
		line->taken++;
	if (line->taken > first)
		*ret_words = &line->words[first];
	else if (what)
		fault(parser, "the line ends before the %s: add it", what);
	return line->taken - first;
}

/* The next field, of one word; NULL after a fault. */
static struct word *need_word(struct parser *parser, struct line *line, const char *what)
{
	struct word *word = NULL;
	size_t count = take_field(parser, line, what, &word);

	if (count > 1)
		fault(parser, "more than one %s: write a line for each", what);
	return count == 1 ? word : NULL;
}

struct choice {
	const char *name, *refusal; /* NULL: it can be chosen */
};

/* The number of the choice that word is, or -1 after a fault. */
static int choose(struct parser *parser, const struct word *word, const char *what, const char *known,
        const struct choice *choices, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(word->text, choices[i].name) != 0)
			continue;
		if (!choices[i].refusal)
			return (int)i;
		fault(parser, "%s \"%s\": %s", what, word->text, choices[i].refusal);
		return -1;
	}
	fault(parser, "\"%.100s\" is no %s: write %s", word->text, what, known);
	return -1;
}

static bool is_keyword(const struct word *word, const char *keyword)
{
	return !word->is_quoted && strcmp(word->text, keyword) == 0;
}

/* ---- names */

/* NULL after a fault. */
static regex_t *compile(struct parser *parser, const char *pattern)
{
	const char *flaw = sw_pattern_flaw(pattern);
	regex_t *compiled = SW_NEW(regex_t);
	char why[128];

	if (!flaw) {
		int code = regcomp(compiled, pattern, REG_EXTENDED);

		if (code == 0)
			return compiled;
		regerror(code, compiled, why, sizeof(why));
		flaw = why;
	}
	fault(parser, "the regular expression \"/%.100s\": %s", pattern, flaw);
	sw_mem_free(compiled);
	return NULL;
}

/* A name as it stands or, quoted or not, a regular expression. */
static struct name plain_name(struct parser *parser, const struct word *word)
{
	if (word->text[0] == '/')
		return (struct name){.kind = NAME_PATTERN, .pattern = compile(parser, word->text + 1)};
	return (struct name){.kind = NAME_PLAIN, .text = word->text};
}

static struct name name_of(struct parser *parser, const struct word *word, bool is_database)
{
	if (is_keyword(word, "all"))
		return (struct name){.kind = NAME_ALL};
	if (is_database && is_keyword(word, "sameuser"))
		return (struct name){.kind = NAME_SAMEUSER};
	if (is_database && is_keyword(word, "replication"))
		return (struct name){.kind = NAME_REPLICATION};
	if (is_database ? is_keyword(word, "samerole") || is_keyword(word, "samegroup")
	                : !word->is_quoted && word->text[0] == '+')
		fault(parser, "\"%.100s\": Seawall does not know role membership: name the users", word->text);
	return plain_name(parser, word);
}

/* The index in hba->names. */
static size_t add_name(struct sw_hba *hba, struct name name)
{
	hba->names = grown(hba->names, hba->name_count, sizeof(*hba->names));
	hba->names[hba->name_count] = name;
	return hba->name_count++;
}

static bool take_names(struct parser *parser, struct line *line, bool is_database, struct span *names)
{
	struct word *words = NULL;

	names->first = parser->hba->name_count;
	names->count = take_field(parser, line, is_database ? "database" : "user", &words);
	for (size_t i = 0; i < names->count; i++)
		add_name(parser->hba, name_of(parser, &words[i], is_database));
	return names->count > 0;
}

/* ---- addresses */

static bool read_sockaddr(const struct sockaddr *from, struct address *ret_address)
{
	struct address address = {.family = from->sa_family};

	if (from->sa_family == AF_INET)
		memcpy(address.bytes, &((const struct sockaddr_in *)from)->sin_addr, 4);
	else if (from->sa_family == AF_INET6)
		memcpy(address.bytes, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	else
		return false;
	*ret_address = address;
	return true;
}

/* Whatever PostgreSQL takes for an address; the flag keeps it from looking up a name. */
static bool read_address(const char *text, struct address *ret_address)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_UNSPEC}, *found;
	bool is_read;

	if (!*text || getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	is_read = read_sockaddr(found->ai_addr, ret_address);
	freeaddrinfo(found);
	return is_read;
}

static bool read_bits(const char *text, struct net *net)
{
	char *end;
	unsigned long bits = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || bits > (net->address.family == AF_INET ? 32 : 128))
		return false;
	for (unsigned long i = 0; i < bits; i++)
		net->mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return true;
}

static void add_net(struct sw_hba *hba, struct rule *rule, const struct net *net)
{
	if (rule->nets.count++ == 0)
		rule->nets.first = hba->net_count;
	hba->nets = grown(hba->nets, hba->net_count, sizeof(*hba->nets));
	hba->nets[hba->net_count++] = *net;
}

/* The machine's own addresses and, where is_net, all others of their networks. */
static void take_interfaces(struct parser *parser, struct rule *rule, bool is_net)
{
	static const uint8_t none[16];
	struct ifaddrs *list;

	if (getifaddrs(&list) != 0) {
		fault(parser, "the addresses of this machine cannot be read: %s: write them", strerror(errno));
		return;
	}
	for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
		struct net net;
		struct address mask;

		if (!at->ifa_addr || !read_sockaddr(at->ifa_addr, &net.address))
			continue;
		memset(net.mask, 0xff, sizeof(net.mask));
		/* As in PostgreSQL, an empty mask is none. */
		if (is_net && at->ifa_netmask && read_sockaddr(at->ifa_netmask, &mask) &&
		        mask.family == net.address.family && memcmp(mask.bytes, none, sizeof(none)) != 0)
			memcpy(net.mask, mask.bytes, sizeof(net.mask));
		add_net(parser->hba, rule, &net);
	}
	freeifaddrs(list);
}

static void take_address(struct parser *parser, struct line *line, struct rule *rule)
{
	const struct word *word = need_word(parser, line, "address");
	char *slash = word ? strchr(word->text, '/') : NULL;
	struct net net = {0};
	struct address mask;

	rule->is_everywhere = word && is_keyword(word, "all");
	if (!word || rule->is_everywhere)
		return;
	if (is_keyword(word, "samehost") || is_keyword(word, "samenet")) {
		take_interfaces(parser, rule, is_keyword(word, "samenet"));
		return;
	}
	if (slash)
		*slash = '\0';
	if (!read_address(word->text, &net.address))
		fault(parser, "\"%.100s\" is no IP address, and Seawall looks up no host names: write the address",
		        word->text);
	else if (slash && !read_bits(slash + 1, &net))
		fault(parser, "\"/%.100s\" is no mask of this address: write 0 to 32, of IPv6 0 to 128", slash + 1);
	else if (!slash && (word = need_word(parser, line, "mask"))) {
		if (!read_address(word->text, &mask) || mask.family != net.address.family)
			fault(parser, "\"%.100s\" is no mask of this address: write ADDRESS/BITS, or ADDRESS MASK",
			        word->text);
		else
			memcpy(net.mask, mask.bytes, sizeof(net.mask));
	}
	add_net(parser->hba, rule, &net);
}

/* ---- rules and mappings */

static void take_record(struct parser *parser, struct line *line, struct rule *rule)
{
	static const struct choice records[] = {
	        [RECORD_LOCAL] = {"local", NULL},
	        [RECORD_HOST] = {"host", NULL},
	        [RECORD_HOSTNOGSSENC] = {"hostnogssenc", NULL}, /* like host: there is no GSSAPI */
	        [RECORD_HOSTSSL] = {"hostssl", NULL},
	        [RECORD_HOSTNOSSL] = {"hostnossl", NULL},
	        {"hostgssenc", "Seawall has no GSSAPI encryption: write hostssl, or remove the line"},
	        {"include", "it needs one file: write include FILE"},
	        {"include_if_exists", "it needs one file: write include_if_exists FILE"},
	        {"include_dir", "Seawall includes no folders: write include FILE for each file"},
	};
	const struct word *word = need_word(parser, line, "type");

	if (word)
		rule->record = (enum record)choose(
		        parser, word, "type", "local, host, hostssl or hostnossl", records, COUNT_OF(records));
}

static const struct choice methods[] = {
        [SW_HBA_REJECT] = {"reject", NULL},
        [SW_HBA_TRUST] = {"trust", NULL},
        [SW_HBA_PASSWORD] = {"password", NULL},
        [SW_HBA_MD5] = {"md5", NULL},
        [SW_HBA_SCRAM] = {"scram-sha-256", NULL},
        [SW_HBA_CERT] = {"cert", NULL},
        [SW_HBA_PEER] = {"peer", NULL},
        [SW_HBA_PAM] = {"pam", NULL},
        {"ldap", "Seawall speaks no LDAP: use pam, with a PAM service that does"},
        {"radius", "Seawall speaks no RADIUS: use pam, with a PAM service that does"},
        {"bsd", "only OpenBSD has it: use pam"},
        {"gss", "Seawall has no GSSAPI: use scram-sha-256 or cert"},
        {"sspi", "only Windows has it: use scram-sha-256 or cert"},
        {"ident", "Seawall asks no ident server: use scram-sha-256 or cert"},
};

static void take_method(struct parser *parser, struct line *line, struct rule *rule)
{
	struct word *word = need_word(parser, line, "method");

	if (!word)
		return;
	/* As PostgreSQL has it since there is peer. */
	if (rule->record == RECORD_LOCAL && strcmp(word->text, "ident") == 0)
		word->text = "peer";
	rule->says.method = (enum sw_hba_method)choose(parser, word, "method",
	        "scram-sha-256, md5, password, cert, peer, pam, trust or reject", methods, COUNT_OF(methods));
	if (rule->says.method == SW_HBA_PEER && rule->record != RECORD_LOCAL)
		fault(parser, "method \"peer\" needs a Unix socket: write it in a line of type local");
	if (rule->says.method == SW_HBA_CERT && rule->record != RECORD_HOSTSSL)
		fault(parser, "method \"cert\" needs TLS: write it in a line of type hostssl");
}

static void take_clientcert(struct parser *parser, struct rule *rule, const char *value)
{
	if (rule->record != RECORD_HOSTSSL)
		fault(parser, "clientcert needs TLS: write it in a line of type hostssl");
	else if (strcmp(value, "verify-full") == 0)
		rule->says.clientcert = SW_CLIENTCERT_FULL;
	else if (strcmp(value, "verify-ca") != 0)
		fault(parser, "clientcert=%.100s is not possible: write verify-ca or verify-full", value);
	else if (rule->says.method == SW_HBA_CERT)
		fault(parser, "method \"cert\" is always verify-full: remove clientcert=verify-ca");
	else
		rule->says.clientcert = SW_CLIENTCERT_CA;
}

/* An option that is given twice counts as it was given last; an empty one as not given. */
static void take_option(struct parser *parser, const struct word *word, struct rule *rule)
{
	enum sw_hba_method method = rule->says.method;
	char *value = strchr(word->text, '=');

	if (!value) {
		fault(parser, "\"%.100s\" is no option: write NAME=VALUE", word->text);
		return;
	}
	*value++ = '\0';
	if (strcmp(word->text, "clientcert") == 0)
		take_clientcert(parser, rule, value);
	else if (strcmp(word->text, "map") == 0 && (method == SW_HBA_PEER || method == SW_HBA_CERT))
		rule->says.map = *value ? value : NULL;
	else if (strcmp(word->text, "pamservice") == 0 && method == SW_HBA_PAM)
		rule->says.pamservice = *value ? value : NULL;
	else
		fault(parser, "method \"%s\" has no option \"%.100s\": remove it", methods[method].name, word->text);
}

/* False, and the end of reading, where there are enough. */
static bool has_room(struct parser *parser, size_t count, const char *what)
{
	if (count < ENTRIES_MAX)
		return true;
	parser->is_stopped = true;
	fault(parser, "more than %d %s: unite some", ENTRIES_MAX, what);
	return false;
}

/* A column with a fault leaves open what the next ones are; only names do not. */
static void take_rule(struct parser *parser, struct line *line)
{
	struct rule rule = {.says = {.path = parser->path, .line = parser->line}};
	struct sw_hba *hba = parser->hba;
	unsigned faults = parser->faults;
	struct word *words = NULL;
	size_t count;

	if (!has_room(parser, hba->rule_count, "rules"))
		return;
	take_record(parser, line, &rule);
	if (parser->faults > faults || !take_names(parser, line, true, &rule.databases) ||
	        !take_names(parser, line, false, &rule.users))
		return;
	faults = parser->faults;
	if (rule.record != RECORD_LOCAL)
		take_address(parser, line, &rule);
	if (parser->faults == faults)
		take_method(parser, line, &rule);
	for (bool has_method = parser->faults == faults;
	        has_method && (count = take_field(parser, line, NULL, &words));)
		for (size_t i = 0; i < count; i++)
			take_option(parser, &words[i], &rule);
	if (rule.says.method == SW_HBA_CERT)
		rule.says.clientcert = SW_CLIENTCERT_FULL;
	hba->rules = grown(hba->rules, hba->rule_count, sizeof(*hba->rules));
	hba->rules[hba->rule_count++] = rule;
}

static void take_mapping(struct parser *parser, struct line *line)
{
	struct sw_hba *hba = parser->hba;
	struct word *map = NULL, *system = NULL, *user = NULL, *rest;
	struct mapping mapping;
	const regex_t *pattern;

	if (!has_room(parser, hba->mapping_count, "mappings") || !(map = need_word(parser, line, "map name")) ||
	        !(system = need_word(parser, line, "system user")) ||
	        !(user = need_word(parser, line, "database user")))
		return;
	if (take_field(parser, line, NULL, &rest) > 0)
		fault(parser, "text behind the database user: quote a name that has spaces");
	mapping = (struct mapping){.map = map->text, .user = user->text};
	mapping.system = add_name(hba, plain_name(parser, system));
	pattern = hba->names[mapping.system].pattern;
	if (pattern)
		mapping.slot = strstr(user->text, "\\1");
	if (mapping.slot && pattern->re_nsub == 0)
		fault(parser, "\\1 stands for nothing: put parentheses into \"%.100s\"", system->text);
	hba->mappings = grown(hba->mappings, hba->mapping_count, sizeof(*hba->mappings));
	hba->mappings[hba->mapping_count++] = mapping;
}

/* ---- files, lines, words */

static void read_file(struct parser *parser, const char *name, bool may_miss, struct line *outer);

/* Cuts the next word off the text, in place; false where there is none. */
static bool cut_word(struct parser *parser, char **text, struct word *ret_word, bool *ret_has_comma)
{
	char *in = *text, *out;
	bool is_inside = false, has_quotes = false;

	in += strspn(in, " \t\r,");
	out = in;
	*ret_word = (struct word){.text = in};
	for (; *in && (is_inside || !strchr(" \t\r,#", *in)); in++) {
		if (*in != '"') {
			*out++ = *in;
		} else if (is_inside && in[1] == '"') {
			*out++ = *in++;
		} else {
			ret_word->is_quoted |= out == ret_word->text;
			is_inside = !is_inside;
			has_quotes = true;
		}
	}
	if (is_inside)
		fault(parser, "a quote is not closed: close it on the same line");
	*ret_has_comma = *in == ',';
	*text = *in == '#' ? in + strlen(in) : in + (*in != '\0');
	*out = '\0';
	return has_quotes || out > ret_word->text;
}

static void add_word(struct line *line, struct word word)
{
	word.field = line->field;
	line->words = grown(line->words, line->count, sizeof(*line->words));
	line->words[line->count++] = word;
}

static void cut_line(struct parser *parser, char *text, struct line *line)
{
	unsigned faults = parser->faults;
	bool has_comma;
	struct word word;

	while (parser->faults == faults && cut_word(parser, &text, &word, &has_comma)) {
		if (!word.is_quoted && word.text[0] == '@' && word.text[1])
			read_file(parser, word.text + 1, false, line);
		else
			add_word(line, word);
		if (has_comma || parser->faults > faults)
			continue;
		if (line->count == 0 || line->words[line->count - 1].field != line->field)
			fault(parser, "\"%.100s\" has no names: write some, or remove the line", word.text);
		line->field++;
	}
}

/* outer: the line that names the @file which this line is of, or NULL. */
static void take_words(struct parser *parser, struct line *line, struct line *outer)
{
	const struct word *words = line->words;
	bool may_miss = strcmp(words[0].text, "include_if_exists") == 0;

	if (line->count == 2 && words[0].field != words[1].field && (may_miss || strcmp(words[0].text, "include") == 0))
		read_file(parser, words[1].text, may_miss, outer);
	else if (!outer)
		parser->take_line(parser, line);
	else
		for (size_t i = 0; i < line->count; i++)
			add_word(outer, words[i]);
}

/* Keeps a text as long as hba. */
static void keep(struct sw_hba *hba, char *text)
{
	hba->texts = grown(hba->texts, hba->text_count, sizeof(*hba->texts));
	hba->texts[hba->text_count++] = text;
}

/* The next line with its continuations and a NUL, or NULL. Moves the number behind it. */
static char *join_line(FILE *file, unsigned *number, size_t *ret_len)
{
	char *line = NULL, *part = NULL;
	size_t len = 0, joined = 0, size = 0;
	ssize_t got;

	while ((got = getline(&part, &size, file)) > 0) {
		line = sw_mem_realloc(line, len + (size_t)got + 1);
		memcpy(line + len, part, (size_t)got);
		++*number;
		for (len += (size_t)got; len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'); len--)
			;
		/* A backslash is not looked at twice: of two, with nothing on the next line, one stays. */
		if (len <= joined || line[len - 1] != '\\')
			break;
		joined = --len;
	}
	if (line)
		line[len] = '\0';
	free(part);
	*ret_len = len;
	return line;
}

static void read_lines(struct parser *parser, FILE *file, struct line *outer)
{
	unsigned next = 1;
	char *text;
	size_t len;

	while (!parser->is_stopped && (parser->line = next, text = join_line(file, &next, &len))) {
		unsigned faults = parser->faults;
		struct line line = {0};

		keep(parser->hba, text);
		if (len > LINE_BYTES_MAX)
			fault(parser, "the line is longer than %d bytes: put names into an @file", LINE_BYTES_MAX);
		else if (strlen(text) < len)
			fault(parser, "the line contains a NUL byte: remove it");
		else
			cut_line(parser, text, &line);
		if (parser->faults == faults && line.count > 0)
			take_words(parser, &line, outer);
		sw_mem_free(line.words);
	}
	if (ferror(file))
		fault(parser, "the file cannot be read to its end: %s: try again", strerror(errno));
}

/* NULL where it may be missing and is, or after a fault. */
static FILE *open_file(struct parser *parser, const char *path, bool may_miss)
{
	/* Not to hang on a FIFO that nobody writes to. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	struct stat status;

	if (!file) {
		if (!may_miss || errno != ENOENT)
			fault(parser, "\"%s\" cannot be opened: %s: check its name and rights", path, strerror(errno));
		return NULL;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		fault(parser, "\"%s\" is not a regular file: name one", path);
	} else if ((size_t)status.st_size > FILE_BYTES_MAX - parser->bytes) {
		fault(parser, "with \"%s\" there are more than %d bytes: is it the right file?", path, FILE_BYTES_MAX);
	} else {
		parser->bytes += (size_t)status.st_size;
		return file;
	}
	fclose(file);
	return NULL;
}

static void read_file(struct parser *parser, const char *name, bool may_miss, struct line *outer)
{
	const char *outer_path = parser->path, *slash = outer_path && name[0] != '/' ? strrchr(outer_path, '/') : NULL;
	unsigned outer_line = parser->line;
	FILE *file;
	char *path;

	if (parser->depth > DEPTH_MAX) {
		fault(parser, "\"%s\" is nested deeper than %d files: does it include itself?", name, DEPTH_MAX);
		return;
	}
	if (!has_room(parser, parser->files++, "files"))
		return;
	/* Relative to the folder of the file that names it. */
	path = sw_mem_alloc(strlen(name) + 1 + (slash ? (size_t)(slash + 1 - outer_path) : 0));
	sprintf(path, "%.*s%s", slash ? (int)(slash + 1 - outer_path) : 0, slash ? outer_path : "", name);
	keep(parser->hba, path);
	if (!outer_path)
		outer_path = parser->path = path; /* for faults: no line names it */
	file = open_file(parser, path, may_miss);
	if (!file)
		return;
	parser->path = path;
	parser->depth++;
	read_lines(parser, file, outer);
	parser->depth--;
	parser->path = outer_path;
	parser->line = outer_line;
	fclose(file);
}

/* ---- the files as a whole */

struct sw_hba *sw_hba_load(const char *hba_path, const char *ident_path, FILE *faults_file)
{
	struct sw_hba *hba = SW_NEW(struct sw_hba);
	struct parser parser = {.hba = hba, .take_line = take_rule, .faults_file = faults_file};

	atomic_init(&hba->refs, 1);
	if (*hba_path)
		read_file(&parser, hba_path, false, NULL);
	if (parser.path && parser.faults == 0 && hba->rule_count == 0)
		fault(&parser, "the file has no rules, so nobody could log in: write some");
	parser.path = NULL;
	parser.take_line = take_mapping;
	if (ident_path && *ident_path && !parser.is_stopped)
		read_file(&parser, ident_path, false, NULL);
	if (parser.faults == 0)
		return hba;
	sw_hba_unref(hba);
	return NULL;
}

struct sw_hba *sw_hba_ref(struct sw_hba *hba)
{
	atomic_fetch_add_explicit(&hba->refs, 1, memory_order_relaxed);
	return hba;
}

void sw_hba_unref(struct sw_hba *hba)
{
	if (!hba || atomic_fetch_sub_explicit(&hba->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < hba->name_count; i++) {
		if (hba->names[i].pattern)
			regfree(hba->names[i].pattern);
		sw_mem_free(hba->names[i].pattern);
	}
	for (size_t i = 0; i < hba->text_count; i++)
		sw_mem_free(hba->texts[i]);
	sw_mem_free(hba->rules);
	sw_mem_free(hba->mappings);
	sw_mem_free(hba->names);
	sw_mem_free(hba->nets);
	sw_mem_free(hba->texts);
	sw_mem_free(hba);
}

/* ---- asking */

/*
 * Is text among the names? NULL = physical replication, which nothing but its keyword is. The C library locks what
 * threads share of a pattern.
 */
static bool is_any(const struct sw_hba *hba, const struct span *names, const char *text, const char *user)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct name *name = &hba->names[names->first + i];
		bool is_it = name->kind == (text ? NAME_ALL : NAME_REPLICATION);

		if (text && name->kind == NAME_PLAIN)
			is_it = strcmp(name->text, text) == 0;
		else if (text && name->kind == NAME_PATTERN)
			is_it = regexec(name->pattern, text, 0, NULL, 0) == 0;
		else if (text && name->kind == NAME_SAMEUSER)
			is_it = strcmp(user, text) == 0;
		if (is_it)
			return true;
	}
	return false;
}

static bool is_in_net(const struct net *net, const struct address *address)
{
	if (net->address.family != address->family)
		return false;
	for (size_t i = 0; i < sizeof(net->mask); i++)
		if ((net->address.bytes[i] ^ address->bytes[i]) & net->mask[i])
			return false;
	return true;
}

/* address: NULL = of a Unix socket. */
static bool is_reached(const struct sw_hba *hba, const struct rule *rule, bool is_tls, const struct address *address)
{
	if (!address || rule->record == RECORD_LOCAL)
		return !address && rule->record == RECORD_LOCAL;
	if (rule->record == (is_tls ? RECORD_HOSTNOSSL : RECORD_HOSTSSL))
		return false;
	for (size_t i = 0; i < rule->nets.count; i++)
		if (is_in_net(&hba->nets[rule->nets.first + i], address))
			return true;
	return rule->is_everywhere;
}

/* A socket for both families shows an IPv4 client as ::ffff:a.b.c.d. */
static void unmap(struct address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
		return;
	address->family = AF_INET;
	memcpy(address->bytes, address->bytes + 12, 4);
	memset(address->bytes + 4, 0, 12);
}

void sw_hba_find(const struct sw_hba *hba, const struct sw_hba_ask *ask, struct sw_hba_rule *ret_rule)
{
	struct address address;

	*ret_rule = (struct sw_hba_rule){.method = SW_HBA_REJECT};
	if (!ask->is_unix) {
		if (!ask->address || !read_sockaddr(ask->address, &address))
			return;
		unmap(&address);
	}
	for (size_t i = 0; i < hba->rule_count; i++) {
		const struct rule *rule = &hba->rules[i];

		if (is_reached(hba, rule, ask->is_tls, ask->is_unix ? NULL : &address) &&
		        is_any(hba, &rule->databases, ask->is_replication ? NULL : ask->database, ask->user) &&
		        is_any(hba, &rule->users, ask->user, ask->user)) {
			*ret_rule = rule->says;
			return;
		}
	}
}

/* Is user what mapping makes of system_user? The group that \1 stands for took part where there is one. */
static bool is_filled_in(const struct mapping *mapping, const char *system_user, regmatch_t group, const char *user)
{
	size_t before, filling;

	if (!mapping->slot)
		return strcmp(mapping->user, user) == 0;
	before = (size_t)(mapping->slot - mapping->user);
	filling = (size_t)(group.rm_eo - group.rm_so);
	return strncmp(mapping->user, user, before) == 0 &&
	       strncmp(system_user + group.rm_so, user + before, filling) == 0 &&
	       strcmp(mapping->slot + 2, user + before + filling) == 0;
}

bool sw_hba_map_allows(const struct sw_hba *hba, const char *map, const char *system_user, const char *database_user)
{
	if (!system_user || !map)
		return system_user && strcmp(system_user, database_user) == 0;
	for (size_t i = 0; i < hba->mapping_count; i++) {
		const struct mapping *mapping = &hba->mappings[i];
		const struct name *system = &hba->names[mapping->system];
		regmatch_t groups[2] = {0};

		if (strcmp(mapping->map, map) != 0)
			continue;
		if (system->pattern ? regexec(system->pattern, system_user, COUNT_OF(groups), groups, 0) != 0
		                    : strcmp(system->text, system_user) != 0)
			continue;
		/* As in PostgreSQL, \1 for a group that took no part ends the search. */
		if (mapping->slot && groups[1].rm_so < 0)
			return false;
		if (is_filled_in(mapping, system_user, groups[1], database_user))
			return true;
	}
	return false;
}
