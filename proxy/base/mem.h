/*
 * Memory. Allocation never returns NULL: everything that a peer can make grow has a limit (limits.h), so an exhausted
 * heap is a fault of the machine or of Seawall, and stopping at once, with a message, is safer than a path that nobody
 * ever ran. Sizes are in bytes. Any thread.
 */
#ifndef SW_BASE_MEM_H
#define SW_BASE_MEM_H

#include <stddef.h>

#define SW_MALLOC_LIKE __attribute__((malloc, returns_nonnull, warn_unused_result))

void *sw_mem_alloc(size_t bytes) SW_MALLOC_LIKE;           /* contents undefined */
void *sw_mem_zalloc(size_t bytes) SW_MALLOC_LIKE;          /* zeroed */
void *sw_mem_realloc(void *mem, size_t bytes) __attribute__((returns_nonnull, warn_unused_result));
char *sw_mem_strdup(const char *text) SW_MALLOC_LIKE;
char *sw_mem_strndup(const char *text, size_t len) SW_MALLOC_LIKE; /* copies len bytes, adds a NUL */
void sw_mem_free(void *mem);                               /* takes NULL */
void sw_mem_wipe(void *mem, size_t bytes);                 /* zeroes secrets; is not optimised away */

#define SW_NEW(type) ((type *)sw_mem_zalloc(sizeof(type)))

#endif
