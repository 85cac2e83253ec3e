/* Memory that is there or ends the process. Any thread. */
#include "proxy/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *present(void *mem, size_t bytes)
{
	if (!mem) {
		fprintf(stderr, "seawall: out of memory: %zu bytes refused; raise the limit or lower max_client_conn\n", bytes);
		abort();
	}
	return mem;
}

void *sw_mem_alloc(size_t bytes)
{
	return present(malloc(bytes ? bytes : 1), bytes);
}

void *sw_mem_zalloc(size_t bytes)
{
	return present(calloc(1, bytes ? bytes : 1), bytes);
}

void *sw_mem_realloc(void *mem, size_t bytes)
{
	return present(realloc(mem, bytes ? bytes : 1), bytes);
}

char *sw_mem_strndup(const char *text, size_t len)
{
	char *copy = sw_mem_alloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *sw_mem_strdup(const char *text)
{
	return sw_mem_strndup(text, strlen(text));
}

void sw_mem_free(void *mem)
{
	free(mem);
}

void sw_mem_wipe(void *mem, size_t bytes)
{
	explicit_bzero(mem, bytes);
}
