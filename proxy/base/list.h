/* Intrusive doubly linked list with a sentinel. O(1) everywhere; an entry that is on no list points at itself. */
#ifndef SW_BASE_LIST_H
#define SW_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct sw_list {
	struct sw_list *prev, *next;
};

#define SW_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Walks a list; the body may remove 'at'. */
#define SW_LIST_EACH(list, at, after)                                                                                  \
	for (struct sw_list *at = (list)->next, *after = at->next; at != (list); at = after, after = at->next)

static inline void sw_list_init(struct sw_list *list)
{
	list->prev = list->next = list;
}

static inline bool sw_list_is_empty(const struct sw_list *list)
{
	return list->next == list;
}

static inline void sw_list_push_back(struct sw_list *list, struct sw_list *entry)
{
	entry->prev = list->prev;
	entry->next = list;
	list->prev->next = entry;
	list->prev = entry;
}

static inline void sw_list_push_front(struct sw_list *list, struct sw_list *entry)
{
	sw_list_push_back(list->next, entry);
}

/* Takes an entry off whatever list it is on; harmless where it is on none. */
static inline void sw_list_remove(struct sw_list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	sw_list_init(entry);
}

#endif
