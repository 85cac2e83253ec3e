/*
 * Runs each file of a fuzz corpus through its target, as an exact-size heap copy, so that a read past the end
 * shows under ASan. Included by one test of each target, after the target itself; tests run in the root of
 * the repository.
 */
#ifndef SW_TEST_CORPUS_H
#define SW_TEST_CORPUS_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void run_corpus_file(const char *path, int (*target)(const uint8_t *data, size_t size))
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	long len;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	len = ftell(file);
	assert_true(len >= 0);
	rewind(file);
	bytes = malloc(len > 0 ? (size_t)len : 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)len, file), len);
	fclose(file);
	target(bytes, (size_t)len);
	free(bytes);
}

/* Fails with fewer than 'least' files: a corpus that was lost must not look like one that passed. */
static void run_corpus(const char *folder, int least, int (*target)(const uint8_t *data, size_t size))
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[1024];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		run_corpus_file(path, target);
		count++;
	}
	closedir(dir);
	assert_true(count >= least);
}

#endif
