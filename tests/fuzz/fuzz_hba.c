/*
 * Fuzz target of the hba file and the ident maps: whatever stands in them, they are read or refused with a fault, nothing is
 * read out of bounds, and a client is let in by a rule of the file only. An input is an hba file, a byte 0xff, and an ident
 * file. Built with -fsanitize=fuzzer; the corpus also runs in tests/unit/test_hba_corpus.c,
 * which includes this file.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/auth/hba.h"

#define SEPARATOR 0xff

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of its own that has no name any more, and the path by which it can be opened. */
static int make_file(const uint8_t *bytes, size_t len, char *ret_path, size_t size)
{
	char name[] = "/tmp/fuzz_hba_XXXXXX";
	int fd = mkstemp(name);

	assert(fd >= 0);
	unlink(name);
	assert(write(fd, bytes, len) == (ssize_t)len);
	snprintf(ret_path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static void ask_all(const struct sw_hba *hba)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	const struct sockaddr *addresses[] = {NULL, (const struct sockaddr *)&v4, (const struct sockaddr *)&v6};

	inet_pton(AF_INET, "192.168.1.7", &v4.sin_addr);
	inet_pton(AF_INET6, "fe80::1", &v6.sin6_addr);
	for (unsigned i = 0; i < 12; i++) {
		struct sw_hba_ask ask = {.is_unix = i % 3 == 0,
			.is_tls = i & 1,
			.is_replication = i & 2,
			.database = i & 4 ? "app" : "",
			.user = i & 8 ? "alice" : "app",
			.address = addresses[i % 3]};
		struct sw_hba_rule rule;

		sw_hba_find(hba, &ask, &rule);
		assert(rule.line > 0 || rule.method == SW_HBA_REJECT);
		assert(rule.line == 0 || rule.path);
		sw_hba_map_allows(hba, rule.map, "alice", "app");
		assert(!sw_hba_map_allows(hba, rule.map, NULL, "app"));
		assert(rule.map || !sw_hba_map_allows(hba, NULL, "alice", "app"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *separator = size > 0 ? memchr(data, SEPARATOR, size) : NULL;
	size_t hba_len = separator ? (size_t)(separator - data) : size;
	char hba_path[64], ident_path[64], *faults = NULL;
	size_t faults_len = 0;
	FILE *file = open_memstream(&faults, &faults_len);
	int hba_fd = make_file(data, hba_len, hba_path, sizeof(hba_path));
	int ident_fd = separator ? make_file(separator + 1, size - hba_len - 1, ident_path, sizeof(ident_path)) : -1;
	struct sw_hba *hba = sw_hba_load(hba_path, separator ? ident_path : NULL, file);

	fclose(file);
	assert((hba != NULL) == (faults_len == 0));
	if (hba)
		ask_all(hba);
	sw_hba_unref(hba);
	free(faults);
	close(hba_fd);
	if (ident_fd >= 0)
		close(ident_fd);
	return 0;
}
