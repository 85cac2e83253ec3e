/*
 * pg_hba.conf and pg_ident.conf: which rule a client gets, which faults a file has, and the limits. The files lie in a
 * folder of the test's own, which is the working directory, so that faults begin with their plain names.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/auth/hba.h"
#include "proxy/base/mem.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static char folder[] = "/tmp/sw_test_hba_XXXXXX";

static void write_lines(const char *path, int count, const char *line, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (int i = 0; i < count; i++)
		assert_int_equal(fwrite(line, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void write_text(const char *path, const char *text)
{
	write_lines(path, 1, text, strlen(text));
}

static void remove_files(const char *const *names)
{
	for (; *names; names++)
		assert_int_equal(unlink(*names), 0);
}

/* Loads; what was written about it is the caller's to free. */
static char *load_and_listen(const char *hba_path, const char *ident_path, struct sw_hba **ret_hba)
{
	char *faults = NULL;
	size_t len;
	FILE *file = open_memstream(&faults, &len);

	*ret_hba = sw_hba_load(hba_path, ident_path, file);
	fclose(file);
	assert_int_equal(*ret_hba == NULL, len > 0);
	return faults;
}

/* Loads, and compares that. */
static struct sw_hba *load_files(const char *hba_path, const char *ident_path, const char *expected_faults)
{
	struct sw_hba *hba;
	char *faults = load_and_listen(hba_path, ident_path, &hba);

	assert_string_equal(faults, expected_faults);
	free(faults);
	return hba;
}

static struct sw_hba *load(const char *rules)
{
	write_text("hba", rules);
	return load_files("hba", "", "");
}

static struct sw_hba *load_map(const char *mappings)
{
	write_text("hba", "local all all peer");
	write_text("ident", mappings);
	return load_files("hba", "ident", "");
}

static void assert_faults(const char *rules, const char *expected_faults)
{
	write_text("hba", rules);
	assert_null(load_files("hba", NULL, expected_faults));
}

/* A line with one fault; what: how its text begins. */
static void assert_fault(const char *rule, const char *what)
{
	struct sw_hba *hba;
	char *faults;

	write_text("hba", rule);
	faults = load_and_listen("hba", "", &hba);
	assert_memory_equal(faults, "hba:1: ", 7);
	assert_ptr_equal(strchr(faults, '\n'), faults + strlen(faults) - 1);
	faults[strnlen(faults, 7 + strlen(what))] = '\0';
	assert_string_equal(faults + 7, what);
	free(faults);
}

static void read_address(const char *text, struct sockaddr_storage *ret_address)
{
	bool is_ipv6 = strchr(text, ':');
	void *in = is_ipv6 ? (void *)&((struct sockaddr_in6 *)ret_address)->sin6_addr
	                   : (void *)&((struct sockaddr_in *)ret_address)->sin_addr;

	*ret_address = (struct sockaddr_storage){.ss_family = is_ipv6 ? AF_INET6 : AF_INET};
	assert_int_equal(inet_pton(ret_address->ss_family, text, in), 1);
}

/*
 * What a client is told: "line method", and what else the rule has. from: an address, "" for a Unix socket;
 * with a "tls " before it where it has TLS, "replication " before all where it asks for that.
 */
static const char *says_to(const struct sw_hba *hba, const char *from, const char *database, const char *user)
{
	static const char *const methods[] = {"reject", "trust", "password", "md5", "scram", "cert", "peer", "pam"};
	static const char *const certs[] = {"", " verify-ca", " verify-full"};
	static char says[256];
	struct sw_hba_ask ask = {.database = database, .user = user};
	struct sw_hba_rule rule;
	struct sockaddr_storage address;

	if (strncmp(from, "replication ", 12) == 0) {
		ask.is_replication = true;
		from += 12;
	}
	if (strncmp(from, "tls ", 4) == 0) {
		ask.is_tls = true;
		from += 4;
	}
	ask.is_unix = !*from;
	if (*from) {
		read_address(from, &address);
		ask.address = (const struct sockaddr *)&address;
	}
	sw_hba_find(hba, &ask, &rule);
	assert_int_equal(rule.line == 0, rule.path == NULL);
	snprintf(says, sizeof(says), "%u %s%s%s%s%s%s", rule.line, methods[rule.method], certs[rule.clientcert],
	        rule.map ? " map=" : "", rule.map ? rule.map : "", rule.pamservice ? " pamservice=" : "",
	        rule.pamservice ? rule.pamservice : "");
	return says;
}

/* "database user: what the client is told". */
static void assert_each_rule(const struct sw_hba *hba, const char *from, const char *const *cases)
{
	char database[32], user[32];
	int at;

	for (; *cases; cases++) {
		assert_int_equal(sscanf(*cases, "%31s %31[^:]: %n", database, user, &at), 2);
		assert_string_equal(says_to(hba, from, database, user), *cases + at);
	}
}

/* "system user=database user". */
static void assert_each_mapped(const struct sw_hba *hba, bool is_allowed, const char *map, const char *const *cases)
{
	char system[32], user[32];

	for (; *cases; cases++) {
		assert_int_equal(sscanf(*cases, "%31[^=]=%31[^=]", system, user), 2);
		assert_int_equal(sw_hba_map_allows(hba, map, system, user), is_allowed);
	}
}

#define assert_rules(hba, from, ...)                 assert_each_rule(hba, from, LIST(__VA_ARGS__))
#define assert_allowed(hba, map, ...)                assert_each_mapped(hba, true, map, LIST(__VA_ARGS__))
#define assert_denied(hba, map, ...)                 assert_each_mapped(hba, false, map, LIST(__VA_ARGS__))
#define assert_rule(hba, from, database, user, says) assert_string_equal(says_to(hba, from, database, user), says)

/* ---- which rule */

static void test_first_rule_that_fits(void **state)
{
	struct sw_hba *hba = load("# TYPE DATABASE USER ADDRESS METHOD\n"
	                          "local\tall\tpostgres\tpeer\n"
	                          "host app alice 10.0.0.0/8 scram-sha-256 # for her\n"
	                          "\n"
	                          "host app,\tstats , bob 10.1.0.0/16 md5\n"
	                          "host all all 10.0.0.0/8 reject\r\n"
	                          "   \t \r\n"
	                          "host all all all password");

	(void)state;
	assert_rules(hba, "", "app postgres: 2 peer", "app alice: 0 reject");
	assert_rules(hba, "10.9.9.9", "app alice: 3 scram", "App alice: 6 reject", "app Alice: 6 reject");
	assert_rules(hba, "10.1.2.3", "app bob: 5 md5", "stats bob: 5 md5");
	assert_rules(hba, "::1", "app alice: 8 password");
	assert_ptr_equal(sw_hba_ref(hba), hba);
	sw_hba_unref(hba);
	assert_rule(hba, "::1", "app", "alice", "8 password");
	sw_hba_unref(hba);
	sw_hba_unref(NULL);
}

static void test_types(void **state)
{
	struct sw_hba *hba = load("hostssl all tls all trust\n"
	                          "hostnossl all plain all trust\n"
	                          "hostnogssenc all any all trust\n"
	                          "local all unix trust\n");

	(void)state;
	assert_rules(hba, "", "d tls: 0 reject", "d plain: 0 reject", "d any: 0 reject", "d unix: 4 trust");
	assert_rules(hba, "::1", "d tls: 0 reject", "d plain: 2 trust", "d any: 3 trust", "d unix: 0 reject");
	assert_rules(hba, "tls 1.2.3.4", "d tls: 1 trust", "d plain: 0 reject", "d any: 3 trust", "d unix: 0 reject");
	sw_hba_unref(hba);
}

static void test_keywords(void **state)
{
	struct sw_hba *hba = load("local sameuser all trust\n"
	                          "local replication,logs rep trust\n"
	                          "local \"all\",\"sameuser\",\"replication\",\"samerole\" \"all\",\"+x\" md5\n"
	                          "local a\"ll\" mixed trust\n" /* not quoted at its beginning: the keyword */
	                          "local replication sameuser,replication,samerole trust\n"
	                          "local sameuser,x y trust\n");

	(void)state;
	assert_rules(hba, "", "alice alice: 1 trust", "alice bob: 0 reject", "logs rep: 2 trust",
	        "replication rep: 0 reject", "sameuser all: 3 md5", "replication all: 3 md5", "samerole +x: 3 md5",
	        "app all: 0 reject", "all alice: 0 reject", "anything mixed: 4 trust", "y y: 1 trust", "x y: 6 trust");
	assert_rules(hba, "replication ", "rep rep: 2 trust", "replication all: 0 reject", "anything mixed: 0 reject",
	        "d sameuser: 5 trust", "d samerole: 5 trust");
	assert_rule(hba, "replication ", NULL, "rep", "2 trust");
	sw_hba_unref(hba);
}

static void test_quotes_and_comments(void **state)
{
	struct sw_hba *hba = load("local \"my db\" \"a \"\"b\"\"\" trust\n"
	                          "local \"#1\",\"a,b\" x trust#y z\n"
	                          "  # local all all trust\n"
	                          "local @ \"@file\" trust\n"
	                          "\"local\" d\"e\"f \"\"\"\" \"trust\" #\"\n"
	                          "local a,b, c d md5\n"
	                          "local \"\" e trust\n");

	(void)state;
	assert_rule(hba, "", "my db", "a \"b\"", "1 trust");
	assert_rules(hba, "", "#1 x: 2 trust", "a,b x: 2 trust", "@ @file: 4 trust", "def \": 5 trust", "c d: 6 md5",
	        "d e: 0 reject");
	assert_rule(hba, "", "", "e", "7 trust");
	sw_hba_unref(hba);
}

static void test_continued_lines(void **state)
{
	struct sw_hba *hba = load("local one \\\n"
	                          "  all \\\r\n"
	                          "trust\n"
	                          "# a comment, too, \\\n"
	                          "local all all trust\n"
	                          "local tw\\\n"
	                          "o,\"thr\\\n"
	                          "ee\" all md5\n"
	                          "local b\\d all peer map=x\\\\\n" /* one backslash is left */
	                          "\n"
	                          "local last all trust \\");

	(void)state;
	assert_rules(hba, "", "one u: 1 trust", "two u: 6 md5", "three u: 6 md5", "b\\d u: 9 peer map=x\\",
	        "last u: 11 trust");
	sw_hba_unref(hba);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *address, *inside[3], *outside[3];
	} cases[] = {
	        {"10.1.2.3/32", {"10.1.2.3", "::ffff:10.1.2.3"}, {"10.1.2.2", "::10.1.2.3", "10.1.2.131"}},
	        {"10.1.2.3/8", {"10.255.0.1"}, {"11.1.2.3"}},
	        {"192.168.128.0/17", {"192.168.128.0", "192.168.255.255"}, {"192.168.127.255", "192.169.128.0"}},
	        {"0.0.0.0/0", {"1.2.3.4", "255.255.255.255", "::ffff:9.9.9.9"}, {"::", "::1", "2001:db8::1"}},
	        {"::/0", {"::1", "2001:db8::1", "::1.2.3.4"}, {"1.2.3.4", "::ffff:1.2.3.4"}},
	        {"::1/128", {"::1"}, {"::2", "::", "0.0.0.1"}},
	        {"2001:db8::/33", {"2001:db8:7fff::1"}, {"2001:db8:8000::", "2001:db9::"}},
	        {"fe80::%1/10", {"febf::1", "fe80::1"}, {"fec0::1"}},
	        /* As the manual says: IPv6 in the file is IPv6 only, mapped or not. */
	        {"::ffff:10.0.0.0/104", {NULL}, {"10.0.0.1", "::ffff:10.0.0.1"}},
	        {"10.1.0.0 255.255.0.0", {"10.1.9.9", "::ffff:10.1.0.0"}, {"10.2.0.0"}},
	        {"10.0.0.7 255.0.0.255", {"10.3.4.7"}, {"10.3.4.8", "11.3.4.7"}},
	        {"2001:db8::1 ffff:ffff::", {"2001:db8:9::"}, {"2001:db7::1", "32.1.13.184"}},
	        {"127.1/32", {"127.0.0.1"}, {"127.1.0.0", "127.1.1.1"}}, /* as inet_aton reads it */
	        {"all", {"1.2.3.4", "::1", "::ffff:1.2.3.4"}, {NULL}},
	};
	char rule[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sw_hba *hba;

		snprintf(rule, sizeof(rule), "host all all %s trust", cases[i].address);
		hba = load(rule);
		for (size_t j = 0; j < 3 && cases[i].inside[j]; j++)
			assert_rule(hba, cases[i].inside[j], "d", "u", "1 trust");
		for (size_t j = 0; j < 3 && cases[i].outside[j]; j++)
			assert_rule(hba, cases[i].outside[j], "d", "u", "0 reject");
		sw_hba_unref(hba);
	}
}

static void test_client_without_address(void **state)
{
	struct sw_hba *hba = load("local all all trust\nhost all all all trust");
	struct sockaddr_storage other = {.ss_family = AF_UNIX};
	struct sw_hba_ask ask = {.database = "d", .user = "u"};
	struct sw_hba_rule rule = {.method = SW_HBA_TRUST, .line = 9};

	(void)state;
	sw_hba_find(hba, &ask, &rule);
	assert_int_equal(rule.line, 0);
	ask.address = (const struct sockaddr *)&other;
	sw_hba_find(hba, &ask, &rule);
	assert_int_equal(rule.method, SW_HBA_REJECT);
	ask.is_unix = true;
	sw_hba_find(hba, &ask, &rule);
	assert_int_equal(rule.line, 1);
	assert_string_equal(rule.path, "hba");
	sw_hba_unref(hba);
}

/* The interfaces of whatever machine this runs on. */
static void test_samehost_and_samenet(void **state)
{
	struct sw_hba *hosts = load("host all all samehost trust"), *nets = load("host all all samenet trust");
	struct ifaddrs *list;

	(void)state;
	assert_int_equal(getifaddrs(&list), 0);
	for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
		struct sw_hba_ask ask = {.database = "d", .user = "u", .address = at->ifa_addr};
		struct sw_hba_rule rule;

		if (!at->ifa_addr || (at->ifa_addr->sa_family != AF_INET && at->ifa_addr->sa_family != AF_INET6))
			continue;
		sw_hba_find(hosts, &ask, &rule);
		assert_int_equal(rule.line, 1);
		sw_hba_find(nets, &ask, &rule);
		assert_int_equal(rule.line, 1);
		if (strcmp(at->ifa_name, "lo") == 0 && at->ifa_addr->sa_family == AF_INET) {
			assert_rule(hosts, "127.0.0.2", "d", "u", "0 reject");
			assert_rule(nets, "127.0.0.2", "d", "u", "1 trust");
		}
	}
	freeifaddrs(list);
	/* Reserved; nobody has them. */
	assert_rule(hosts, "240.0.0.1", "d", "u", "0 reject");
	assert_rule(nets, "240.0.0.1", "d", "u", "0 reject");
	assert_rule(nets, "100::1", "d", "u", "0 reject");
	assert_rule(nets, "", "d", "u", "0 reject");
	sw_hba_unref(hosts);
	sw_hba_unref(nets);
}

static void test_methods_and_options(void **state)
{
	struct sw_hba *hba = load("local a all ident map=m1\n"
	                          "local b all peer map=m1 map=m2\n"
	                          "local c all peer map=\n"
	                          "local d all peer \"map=my map\"\n"
	                          "local e all peer map=\"my map\"\n"
	                          "local f all pam pamservice=seawall\n"
	                          "local g all pam\n"
	                          "hostssl a all all cert\n"
	                          "hostssl b all all cert clientcert=verify-full map=m\n"
	                          "hostssl c all all scram-sha-256 clientcert=verify-ca\n"
	                          "hostssl d all all trust clientcert=verify-full\n"
	                          "hostssl e all all reject clientcert=verify-ca,clientcert=verify-full\n"
	                          "host f all all password\n");

	(void)state;
	assert_rules(hba, "", "a u: 1 peer map=m1", "b u: 2 peer map=m2", "c u: 3 peer", "d u: 4 peer map=my map",
	        "e u: 5 peer map=my map", "f u: 6 pam pamservice=seawall", "g u: 7 pam");
	assert_rules(hba, "tls ::1", "a u: 8 cert verify-full", "b u: 9 cert verify-full map=m",
	        "c u: 10 scram verify-ca", "d u: 11 trust verify-full", "e u: 12 reject verify-full");
	assert_rules(hba, "::1", "f u: 13 password");
	sw_hba_unref(hba);
}

static void test_regular_expressions(void **state)
{
	struct sw_hba *hba = load("local \"/^app_[0-9]{1,2}$\" all trust\n"
	                          "local \"/^(a,b|c d)$\" all trust\n"
	                          "local all /^adm,\"/^[^]x]+_ro$\",\"/\\\\.[[:digit:]{*+]*$\" md5\n"
	                          "local logs \"/\" peer\n");

	(void)state;
	assert_rules(hba, "", "app_7 u: 1 trust", "app_77 u: 1 trust", "app_777 u: 0 reject", "App_7 u: 0 reject",
	        "/^app_[0-9]{1,2}$ u: 0 reject", "a,b u: 2 trust", "d admin: 3 md5", "d ab_ro: 3 md5",
	        "d ax_ro: 0 reject");
	assert_rule(hba, "", "c d", "u", "2 trust");
	assert_rule(hba, "replication ", NULL, "adm", "0 reject");
	assert_rules(hba, "", "logs u: 4 peer"); /* an empty one: everybody */
	sw_hba_unref(hba);
}

/* ---- files */

static void test_included_files(void **state)
{
	struct sw_hba *hba;
	struct sw_hba_ask ask = {.is_unix = true, .database = "three", .user = "u"};
	struct sw_hba_rule rule;
	char text[128];

	(void)state;
	assert_int_equal(mkdir("sub", 0700), 0);
	write_text("sub/two", "local two all trust\ninclude \"three 3\"\n");
	snprintf(text, sizeof(text), "\n\nlocal three all md5\ninclude_if_exists %s/sub/four", folder);
	write_text("sub/three 3", text);
	write_text("sub/four", "# nothing\n");
	hba = load("local one all trust\n"
	           "include sub/two\n"
	           "\"include_if_exists\" sub/none\n"
	           "local include include_if_exists trust\n");
	assert_rule(hba, "", "one", "u", "1 trust");
	assert_rule(hba, "", "two", "u", "1 trust");
	assert_rule(hba, "", "include", "include_if_exists", "4 trust");
	sw_hba_find(hba, &ask, &rule);
	assert_string_equal(rule.path, "sub/three 3");
	assert_int_equal(rule.line, 3);
	sw_hba_unref(hba);
	/* A mistake is told where it is, and what comes behind it, too. */
	write_text("sub/two", "local two all\ninclude none\ninclude_if_exists four/x\n");
	assert_faults("include sub/two\ninclude sub\ninclude_dir sub\nlocal a a a\ninclude\ninclude a b\n",
	        "sub/two:1: the line ends before the method: add it\n"
	        "sub/two:2: \"sub/none\" cannot be opened: No such file or directory: check its name and "
	        "rights\n"
	        "sub/two:3: \"sub/four/x\" cannot be opened: Not a directory: check its name and rights\n"
	        "hba:2: \"sub\" is not a regular file: name one\n"
	        "hba:3: type \"include_dir\": Seawall includes no folders: write include FILE for each file\n"
	        "hba:4: \"a\" is no method: write scram-sha-256, md5, password, cert, peer, pam, trust or "
	        "reject\n"
	        "hba:5: type \"include\": it needs one file: write include FILE\n"
	        "hba:6: type \"include\": it needs one file: write include FILE\n");
	remove_files(LIST("sub/two", "sub/three 3", "sub/four"));
	assert_int_equal(rmdir("sub"), 0);
}

static void test_files_of_names(void **state)
{
	struct sw_hba *hba;

	(void)state;
	write_text("names", "alice, bob # two\n\n\"all\" all_of_them\n@more\n/^x_\ninclude more\n");
	write_text("more", "\"carl c\"");
	write_text("empty", "# nobody\n");
	hba = load("local d @names trust\n"
	           "local @more,e,@\"empty\" f trust\n");
	assert_rules(hba, "", "d alice: 1 trust", "d bob: 1 trust", "d all: 1 trust", "d all_of_them: 1 trust",
	        "d carl c: 1 trust", "d x_1: 1 trust", "d dora: 0 reject", "d include: 0 reject", "e f: 2 trust");
	assert_rule(hba, "", "carl c", "f", "2 trust");
	sw_hba_unref(hba);
	write_text("more", "all");
	hba = load("local d @more trust\n");
	assert_rule(hba, "", "d", "anybody", "1 trust");
	sw_hba_unref(hba);
	write_text("more", "a\n\"b\n+c\nsamerole\n");
	assert_faults("local @none all trust\nlocal @empty all trust\nlocal all @more trust\n",
	        "hba:1: \"none\" cannot be opened: No such file or directory: check its name and rights\n"
	        "hba:2: \"@empty\" has no names: write some, or remove the line\n"
	        "more:2: a quote is not closed: close it on the same line\n");
	write_text("more", "a\n+b\n");
	assert_fault("local all @more trust", "\"+b\": Seawall does not know role membership: name the users");
	remove_files(LIST("names", "more", "empty"));
}

static void test_nested_files(void **state)
{
	struct sw_hba *hba;
	char name[32], text[64], *faults;

	(void)state;
	/* Ten inside of one another, with the rule in the tenth. */
	for (int i = 1; i <= 10; i++) {
		snprintf(name, sizeof(name), "nested%d", i);
		snprintf(text, sizeof(text), i < 10 ? "include nested%d" : "local all @names trust", i + 1);
		write_text(name, text);
	}
	write_text("names", "u");
	/* The names would be an eleventh. */
	assert_faults(
	        "include nested1", "nested10:1: \"names\" is nested deeper than 10 files: does it include itself?\n");
	write_text("nested10", "local all all trust");
	sw_hba_unref(load("include nested1"));
	write_text("nested10", "include hba");
	assert_faults(
	        "include nested1", "nested10:1: \"hba\" is nested deeper than 10 files: does it include itself?\n");
	/* Three times itself, each with three: enough is enough. */
	write_text("hba", "include hba\ninclude hba\ninclude hba\n");
	faults = load_and_listen("hba", "", &hba);
	assert_non_null(strstr(faults, ": more than 10000 files: unite some\n"));
	free(faults);
	for (int i = 1; i <= 10; i++) {
		snprintf(name, sizeof(name), "nested%d", i);
		unlink(name);
	}
	unlink("names");
}

/* ---- faults */

static void test_faults_of_rules(void **state)
{
	static const char *const cases[][2] = {
	        {"Local all all trust", "\"Local\" is no type: write local, host, hostssl or hostnossl"},
	        {"hostgssenc all all all trust", "type \"hostgssenc\": Seawall has no GSSAPI encryption: write"},
	        {"local,host all all all trust", "more than one type: write a line for each"},
	        {"local", "the line ends before the database: add it"},
	        {"local all", "the line ends before the user: add it"},
	        {"local all all", "the line ends before the method: add it"},
	        {"host all all", "the line ends before the address: add it"},
	        {"host all all 10.0.0.1", "the line ends before the mask: add it"},
	        {"local samerole all trust", "\"samerole\": Seawall does not know role membership: name the users"},
	        {"local a,samegroup all trust", "\"samegroup\": Seawall does not know role membership: name the users"},
	        {"local all +staff trust", "\"+staff\": Seawall does not know role membership: name the users"},
	        {"local all all MD5", "\"MD5\" is no method: write scram-sha-256, md5, password, cert, peer, pam"},
	        {"local all all md5,trust", "more than one method: write a line for each"},
	        {"local all all ldap ldapserver=x", "method \"ldap\": Seawall speaks no LDAP: use pam"},
	        {"host all all all radius", "method \"radius\": Seawall speaks no RADIUS: use pam"},
	        {"host all all all gss", "method \"gss\": Seawall has no GSSAPI: use scram-sha-256 or cert"},
	        {"host all all all sspi", "method \"sspi\": only Windows has it: use scram-sha-256 or cert"},
	        {"host all all all bsd", "method \"bsd\": only OpenBSD has it: use pam"},
	        {"host all all all ident", "method \"ident\": Seawall asks no ident server: use scram-sha-256 or cert"},
	        {"host all all all peer", "method \"peer\" needs a Unix socket: write it in a line of type local"},
	        {"host all all all cert", "method \"cert\" needs TLS: write it in a line of type hostssl"},
	        {"local all \"all trust", "a quote is not closed: close it on the same line"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_fault(cases[i][0], cases[i][1]);
}

static void test_faults_of_addresses(void **state)
{
	static const char host_name[] = "is no IP address, and Seawall looks up no host names: write the address";
	static const char mask[] = "is no mask of this address: write ADDRESS/BITS, or ADDRESS MASK";
	static const char bits[] = "is no mask of this address: write 0 to 32, of IPv6 0 to 128";
	static const struct {
		const char *address, *word, *what;
	} cases[] = {{"db.example.com", "db.example.com", host_name}, {".example.com", ".example.com", host_name},
	        {"db.example.com/24", "db.example.com", host_name}, {"localhost", "localhost", host_name},
	        {"\"all\"", "all", host_name}, {"\"samehost\"", "samehost", host_name}, {"\"\"", "", host_name},
	        {"256.0.0.1/32", "256.0.0.1", host_name}, {"1:2:3/64", "1:2:3", host_name}, {"/8", "", host_name},
	        {"10.0.0.0/33", "/33", bits}, {"10.0.0.0/", "/", bits}, {"10.0.0.0/-1", "/-1", bits},
	        {"10.0.0.0/+8", "/+8", bits}, {"10.0.0.0/8x", "/8x", bits}, {"10.0.0.0/255.0.0.0", "/255.0.0.0", bits},
	        {"10.0.0.0/18446744073709551624", "/18446744073709551624", bits}, {"::1/129", "/129", bits},
	        {"10.0.0.0", "trust", mask}, {"10.0.0.0 ffff::", "ffff::", mask},
	        {"::1 255.255.255.255", "255.255.255.255", mask}, {"10.0.0.0 255.0.0.0/8", "255.0.0.0/8", mask}};
	char rule[128], what[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(rule, sizeof(rule), "host all all %s trust", cases[i].address);
		snprintf(what, sizeof(what), "\"%s\" %s", cases[i].word, cases[i].what);
		assert_fault(rule, what);
	}
	assert_fault("host all all 10.0.0.0/8,::1/128 trust", "more than one address: write a line for each");
	assert_fault("host all all 10.0.0.0 255.0.0.0,0.0.0.0 trust", "more than one mask: write a line for each");
}

static void test_faults_of_options(void **state)
{
	static const char *const cases[][2] = {
	        {"host all all all md5 map=m", "method \"md5\" has no option \"map\": remove it"},
	        {"host all all all scram-sha-256 map=m", "method \"scram-sha-256\" has no option \"map\": remove it"},
	        {"local all all trust pamservice=x", "method \"trust\" has no option \"pamservice\": remove it"},
	        {"local all all reject =x", "method \"reject\" has no option \"\": remove it"},
	        {"local all all pam map=m", "method \"pam\" has no option \"map\": remove it"},
	        {"local all all pam pam_use_hostname=1", "method \"pam\" has no option \"pam_use_hostname\""},
	        {"local all all trust reject", "\"reject\" is no option: write NAME=VALUE"},
	        {"host all all all md5 clientcert=verify-ca",
	                "clientcert needs TLS: write it in a line of type hostssl"},
	        {"local all all peer clientcert=x", "clientcert needs TLS: write it in a line of type hostssl"},
	        {"hostssl all all all md5 clientcert=1", "clientcert=1 is not possible: write verify-ca or verify-"},
	        {"hostssl all all all cert clientcert=verify-ca", "method \"cert\" is always verify-full: remove"},
	        {"hostssl all all all cert clientname=DN", "method \"cert\" has no option \"clientname\": remove it"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_fault(cases[i][0], cases[i][1]);
	assert_faults("local all all peer map = m\n", "hba:1: \"map\" is no option: write NAME=VALUE\n"
	                                              "hba:1: method \"peer\" has no option \"\": remove it\n"
	                                              "hba:1: \"m\" is no option: write NAME=VALUE\n");
}

/* What PostgreSQL would read otherwise, and what neither would read. */
static void test_faults_of_regular_expressions(void **state)
{
	static const struct {
		const char *what, *patterns[8];
	} cases[] = {
	        {"POSIX lacks such escapes: write a class, as [[:digit:]]",
	                {"/^db\\d+$", "/\\yx", "/\\<x", "/(a)\\1", "/[\\d]", "/[^]\\]]", "/[[:alpha:]\\]"}},
	        {"POSIX has no non-greedy quantifiers: write it without",
	                {"/^(.*?)@", "/a+?", "/a{2}?", "/a{2}{3}", "/***=x"}},
	        {"\"{\" is followed by no number: write \\{ for the character", {"/a{x", "/a{"}},
	        {"Invalid preceding regular expression", {"/(?i)x", "/(?:x)", "/*"}},
	        {"Unmatched ( or \\(", {"/(a"}},
	        {"Unmatched [, [^, [:, [., or [=", {"/[a", "/[]"}},
	        {"Invalid regular expression", {"/[", "/[^"}},
	        {"Invalid character class name", {"/[[:none:]]"}},
	        {"Trailing backslash", {"/a\\"}},
	        {"Invalid range end", {"/[b-a]"}},
	        {"it repeats too often: make the numbers in {} smaller", {"/((a{1,99}){1,99}){99}", "/a{1001}", "/a{2,9999}"}},
	};
	char rule[128], what[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t j = 0; cases[i].patterns[j]; j++) {
			snprintf(rule, sizeof(rule), "local all \"%s\" trust", cases[i].patterns[j]);
			snprintf(what, sizeof(what), "the regular expression \"%s\": %s", cases[i].patterns[j],
			        cases[i].what);
			assert_fault(rule, what);
		}
	}
}

static void test_all_faults_are_told(void **state)
{
	static const char with_nul[] = "local all all trust\nlocal a\0b all trust\n\0";

	(void)state;
	assert_faults("local samerole,samerole +a,+b trust\n"
	              "nonsense\n"
	              "\n"
	              "local \\\n"
	              "all\n"
	              "local all all trust x y\n",
	        "hba:1: \"samerole\": Seawall does not know role membership: name the users\n"
	        "hba:1: \"samerole\": Seawall does not know role membership: name the users\n"
	        "hba:1: \"+a\": Seawall does not know role membership: name the users\n"
	        "hba:1: \"+b\": Seawall does not know role membership: name the users\n"
	        "hba:2: \"nonsense\" is no type: write local, host, hostssl or hostnossl\n"
	        "hba:4: the line ends before the user: add it\n"
	        "hba:6: \"x\" is no option: write NAME=VALUE\n"
	        "hba:6: \"y\" is no option: write NAME=VALUE\n");
	write_lines("hba", 1, with_nul, sizeof(with_nul) - 1);
	write_text("ident", "m s\n");
	assert_null(load_files("hba", "ident",
	        "hba:2: the line contains a NUL byte: remove it\n"
	        "hba:3: the line contains a NUL byte: remove it\n"
	        "ident:1: the line ends before the database user: add it\n"));
	assert_faults("# nobody\n", "hba:0: the file has no rules, so nobody could log in: write some\n");
	assert_faults("", "hba:0: the file has no rules, so nobody could log in: write some\n");
	assert_null(load_files("none", "also",
	        "none:0: \"none\" cannot be opened: No such file or directory: check its name and rights\n"
	        "also:0: \"also\" cannot be opened: No such file or directory: check its name and rights\n"));
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_null(load_files("fifo", "/",
	        "fifo:0: \"fifo\" is not a regular file: name one\n"
	        "/:0: \"/\" is not a regular file: name one\n"));
	unlink("fifo");
}

/* ---- maps */

static void test_map(void **state)
{
	struct sw_hba *hba = load_map("# MAP SYSTEM DATABASE\n"
	                              "m alice app\n"
	                              "m alice \"the boss\"\n"
	                              "m \"Bob Smith\" bob\n"
	                              "other carl app\n"
	                              "m alice\\1 \\1\n"
	                              "\n"
	                              "m all all\n"
	                              "M dora \\\n app");

	(void)state;
	assert_allowed(hba, NULL, "alice=alice", "\\1=\\1");
	assert_denied(hba, NULL, "alice=app", "alice=Alice");
	assert_allowed(hba, "m", "alice=app", "alice=the boss", "Bob Smith=bob", "alice\\1=\\1", "all=all");
	assert_denied(hba, "m", "alice=alice", "Alice=app", "alice=App", "carl=app", "dora=app");
	assert_allowed(hba, "M", "dora=app");
	assert_denied(hba, "none", "alice=alice");
	sw_hba_unref(hba);
	hba = load_files("", "ident", ""); /* a map without rules */
	assert_allowed(hba, "other", "carl=app");
	assert_rules(hba, "", "d u: 0 reject");
	assert_false(sw_hba_map_allows(hba, NULL, NULL, "alice"));
	assert_false(sw_hba_map_allows(hba, "m", NULL, "app"));
	sw_hba_unref(hba);
}

static void test_map_with_patterns(void **state)
{
	struct sw_hba *hba = load_map("m /^([^@]+)@example\\.com$ \\1\n"
	                              "m \"/^(.*)@x y$\" pre_\\1_\\1_post\n"
	                              "m /^adm guest\n"
	                              "broken /^(a)|b$ \\1\n"
	                              "broken b b\n"
	                              "nested /^((a+)b+)$ \\1\n"
	                              "empty /^()x a\\1b\n");

	(void)state;
	assert_allowed(hba, "m", "alice@example.com=alice", "administrator=guest");
	assert_denied(hba, "m", "alice@example.com=alic", "alice@example.com=alicee",
	        "alice@example.com=alice@example.com", "alice@example.com=\\1", "alice@examplexcom=alice",
	        "a@b@example.com=a", "Administrator=guest");
	/* Only the first \1 stands for something. */
	assert_allowed(hba, "m", "bob@x y=pre_bob_\\1_post");
	assert_denied(hba, "m", "bob@x y=pre_bob_bob_post", "bob@x y=pre_bob", "bob@x y=pr");
	/* A group that took no part: nobody is let in, not even by a later line. */
	assert_allowed(hba, "broken", "a=a");
	assert_denied(hba, "broken", "b=b");
	assert_allowed(hba, "nested", "aabb=aabb");
	assert_denied(hba, "nested", "aabb=aa");
	assert_allowed(hba, "empty", "x=ab");
	sw_hba_unref(hba);
}

static void test_faults_of_maps(void **state)
{
	static const char mappings[] = "m\n"
	                               "m s\n"
	                               "m,n s d\n"
	                               "m s,t d\n"
	                               "m s d,e\n"
	                               "m John Smith john\n"
	                               "m /^x$ \\1\n"
	                               "m /( d\n"
	                               "m @none d\n"
	                               "include none\n"
	                               "include_if_exists none\n"
	                               "m s d\n";

	(void)state;
	write_text("hba", "local all all peer map=m");
	write_text("ident", mappings);
	assert_null(load_files("hba", "ident",
	        "ident:1: the line ends before the system user: add it\n"
	        "ident:2: the line ends before the database user: add it\n"
	        "ident:3: more than one map name: write a line for each\n"
	        "ident:4: more than one system user: write a line for each\n"
	        "ident:5: more than one database user: write a line for each\n"
	        "ident:6: text behind the database user: quote a name that has spaces\n"
	        "ident:7: \\1 stands for nothing: put parentheses into \"/^x$\"\n"
	        "ident:8: the regular expression \"/(\": Unmatched ( or \\(\n"
	        "ident:9: \"none\" cannot be opened: No such file or directory: check its name and rights\n"
	        "ident:10: \"none\" cannot be opened: No such file or directory: check its name and "
	        "rights\n"));
}

/* ---- limits */

static void test_longest_line(void **state)
{
	int limit = 1024 * 1024, name_len = limit - (int)strlen("local all  trust");
	char *text = sw_mem_alloc((size_t)limit + 4);

	(void)state;
	sprintf(text, "local all %0*d trust", name_len, 0);
	sw_hba_unref(load(text));
	/* What joins two lines does not count; what they are together does. */
	sprintf(text, "local all %0*d\\\n trust", name_len, 0);
	sw_hba_unref(load(text));
	sprintf(text, "local all %0*d\\\n trust", name_len + 1, 0);
	assert_fault(text, "the line is longer than 1048576 bytes: put names into an @file");
	sw_mem_free(text);
}

static void test_longest_pattern(void **state)
{
	char rule[1200], what[256];

	(void)state;
	sprintf(rule, "local all /%0*d trust", 1024, 0);
	sw_hba_unref(load(rule));
	sprintf(rule, "local all /%0*d trust", 1025, 0);
	sprintf(what, "the regular expression \"/%0*d\": it is too long: shorten it", 100, 0);
	assert_fault(rule, what);
}

static void test_most_rules_and_mappings(void **state)
{
	struct sw_hba *hba;

	(void)state;
	write_lines("hba", 10000, "local d u md5\n", 14);
	write_lines("ident", 10000, "m s d\n", 6);
	hba = load_files("hba", "ident", "");
	assert_rule(hba, "", "d", "u", "1 md5");
	assert_rule(hba, "", "d", "x", "0 reject");
	assert_true(sw_hba_map_allows(hba, "m", "s", "d"));
	sw_hba_unref(hba);
	write_lines("ident", 10002, "m s d\n", 6);
	assert_null(load_files("hba", "ident", "ident:10001: more than 10000 mappings: unite some\n"));
	write_lines("hba", 10002, "local d u md5\n", 14);
	assert_null(load_files("hba", "ident", "hba:10001: more than 10000 rules: unite some\n"));
}

static void test_most_bytes(void **state)
{
	(void)state;
	write_text("hba", "local all all trust\ninclude big\n");
	write_text("big", "");
	assert_int_equal(truncate("big", 32 * 1024 * 1024 - 31), 0);
	assert_null(load_files(
	        "hba", "", "hba:2: with \"big\" there are more than 33554432 bytes: is it the right file?\n"));
	unlink("big");
}

/* ---- threads */

static void *ask_often(void *arg)
{
	struct sw_hba *hba = arg;
	struct sw_hba_ask ask = {.is_unix = true, .database = "app_12", .user = "u"};
	struct sw_hba_rule rule;

	for (int i = 0; i < 500; i++) {
		sw_hba_find(sw_hba_ref(hba), &ask, &rule);
		if (rule.line != 2 || !sw_hba_map_allows(hba, "m", "alice@x", "alice"))
			return hba;
		sw_hba_unref(hba);
	}
	sw_hba_unref(hba);
	return NULL;
}

static void test_many_threads(void **state)
{
	struct sw_hba *hba;
	pthread_t threads[4];
	void *failed;

	(void)state;
	write_text("hba", "local /^web_[0-9]+$ all md5\nlocal /^app_[0-9]+$ all peer map=m");
	write_text("ident", "m /^(.*)@x$ \\1");
	hba = load_files("hba", "ident", "");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, sw_hba_ref(hba)), 0);
	sw_hba_unref(hba);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

static int enter_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
	(void)state;
	remove_files(LIST("hba", "ident"));
	return chdir("/") == 0 ? rmdir(folder) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_first_rule_that_fits),
	        cmocka_unit_test(test_types),
	        cmocka_unit_test(test_keywords),
	        cmocka_unit_test(test_quotes_and_comments),
	        cmocka_unit_test(test_continued_lines),
	        cmocka_unit_test(test_addresses),
	        cmocka_unit_test(test_client_without_address),
	        cmocka_unit_test(test_samehost_and_samenet),
	        cmocka_unit_test(test_methods_and_options),
	        cmocka_unit_test(test_regular_expressions),
	        cmocka_unit_test(test_included_files),
	        cmocka_unit_test(test_files_of_names),
	        cmocka_unit_test(test_nested_files),
	        cmocka_unit_test(test_faults_of_rules),
	        cmocka_unit_test(test_faults_of_addresses),
	        cmocka_unit_test(test_faults_of_options),
	        cmocka_unit_test(test_faults_of_regular_expressions),
	        cmocka_unit_test(test_all_faults_are_told),
	        cmocka_unit_test(test_map),
	        cmocka_unit_test(test_map_with_patterns),
	        cmocka_unit_test(test_faults_of_maps),
	        cmocka_unit_test(test_longest_line),
	        cmocka_unit_test(test_longest_pattern),
	        cmocka_unit_test(test_most_rules_and_mappings),
	        cmocka_unit_test(test_most_bytes),
	        cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests_name("hba", tests, enter_folder, leave_folder);
}
