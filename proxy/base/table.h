/*
 * A small table of results: what a console command answers. Filled on one thread, then given away whole;
 *workers fill one each and the control thread merges them. Texts are copied. A table cannot be made without a
 *maximum: rows that do not fit any more are counted in 'dropped' and left out. Not thread-safe.
 *
 *	sw_table_begin(table);
 *	sw_table_text(table, "app");       one call a column, in the columns' order
 *	sw_table_number(table, 3);
 *	sw_table_end(table);
 */
#ifndef SW_BASE_TABLE_H
#define SW_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The widest table has 25 columns. */
#define SW_TABLE_COLUMNS_MAX 40

/* Longer texts are cut; as long as the longest value of the configuration. Includes the NUL. */
#define SW_TABLE_TEXT_MAX 1024

/*
 * What becomes of a column when rows are combined: two rows with the same texts in all KEY columns are one
 * row. A table without KEY columns keeps every row.
 */
enum sw_column_kind {
	SW_COLUMN_KEY,   /* text; NULL is a value like others */
	SW_COLUMN_TEXT,  /* text; different ones are listed, separated by commas */
	SW_COLUMN_SUM,   /* number; NULL counts as nothing */
	SW_COLUMN_MAX,   /* number; NULL is less than any */
	SW_COLUMN_FIRST, /* text; the first that is not NULL stays */
};

struct sw_column {
	const char *name;
	enum sw_column_kind kind;
};

struct sw_cell {
	const char *text; /* of KEY, TEXT and FIRST; NULL = NULL */
	uint64_t number;  /* of SUM and MAX */
	bool has_number;  /* false in a SUM or MAX column = NULL */
};

struct sw_row {
	struct sw_row *next;
	struct sw_row *chain; /* private: others of its bucket */
	uint32_t hash;        /* private: of the KEY cells */
	struct sw_cell cells[];
};

struct sw_table {
	const struct sw_column *columns;
	uint32_t column_count, row_count;
	struct sw_row *rows; /* in the order in which they came */
	uint64_t dropped;    /* rows that did not fit */
	/* private */
	struct sw_row *last;
	struct sw_row **buckets;
	uint32_t bucket_count;
	bool has_keys, is_building;
	struct sw_cell *building;
	char *texts; /* SW_TABLE_TEXT_MAX a column, for the row that is being built */
	uint32_t built;
	struct sw_table_chunk *chunks;
	size_t chunk_left, used_bytes, max_bytes;
};

/* The columns outlive the table. max_bytes: what all rows together may take. */
struct sw_table *sw_table_new(const struct sw_column *columns, uint32_t column_count, size_t max_bytes);
void sw_table_free(struct sw_table *table); /* takes NULL */

void sw_table_begin(struct sw_table *table);
void sw_table_text(struct sw_table *table, const char *text);  /* NULL = NULL, in any column */
void sw_table_number(struct sw_table *table, uint64_t number); /* a column of text gets its digits */
void sw_table_end(struct sw_table *table);

/* Adds all rows of a table with the same columns; from stays as it is. */
void sw_table_merge(struct sw_table *into, const struct sw_table *from);

/* The index of a column that there is. */
uint32_t sw_table_column(const struct sw_table *table, const char *name);

#endif
