/*
 * Reads from the primary what the classifier has to know of each database (router/catalog.h). One connection
 * a database, made when it is needed and dropped when it has been idle for a while. Control thread only;
 * nobody ever waits for it: without a catalog the classifier is careful.
 */
#ifndef SW_LAGMON_CATALOG_LOAD_H
#define SW_LAGMON_CATALOG_LOAD_H

#include <uv.h>

struct sw_catalog;
struct sw_catalog_loader;
struct sw_board;
struct sw_config;
struct sw_node_config;

/* on_catalog: the callee takes its own reference. The configuration is borrowed until set_config or the end.
 */
struct sw_catalog_loader *sw_catalog_loader_new(uv_loop_t *loop, const struct sw_board *board, const struct sw_config *config,
        void (*on_catalog)(struct sw_catalog *catalog, void *arg), void *arg);
/* on_closed comes once, from the loop; then the loader is freed. */
void sw_catalog_loader_close(struct sw_catalog_loader *loader, void (*on_closed)(void *arg), void *arg);

void sw_catalog_loader_set_config(struct sw_catalog_loader *loader, const struct sw_config *config);
/* Another primary: everything is read again. NULL, there is none: nothing is read until there is one. */
void sw_catalog_loader_set_primary(struct sw_catalog_loader *loader, const struct sw_node_config *primary);
/* Read soon, database being its name on the server. Repeated calls are one; a call during a reading is a next
 * one. */
void sw_catalog_loader_want(struct sw_catalog_loader *loader, const char *database);

#endif
