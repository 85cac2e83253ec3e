/*
 * Tables of results. Rows and texts lie in chunks that are freed together, so that a table of a hundred
 * thousand clients costs a few hundred allocations. Pure but for the heap. Invariant: no two rows of a table
 * with KEY columns have the same key; used_bytes never passes max_bytes. What is not here: how a table is
 * sent (proxy/admin.c), what stands in it (proxy/report.c).
 */
#include "proxy/base/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/mem.h"

/* One allocation for many rows; most tables need one. */
#define CHUNK_BYTES   ((size_t)16 * 1024)
#define BUCKETS_LEAST 64

struct sw_table_chunk {
	struct sw_table_chunk *next;
	size_t size;
	char bytes[];
};

/* ---- memory */

/* Room for len bytes, aligned for a row; NULL where the maximum forbids it. */
static void *take(struct sw_table *table, size_t len)
{
	size_t wanted = (len + 7) & ~(size_t)7;
	struct sw_table_chunk *chunk = table->chunks;

	if (wanted > table->max_bytes - table->used_bytes)
		return NULL;
	if (!chunk || wanted > table->chunk_left) {
		size_t size = wanted > CHUNK_BYTES ? wanted : CHUNK_BYTES;

		chunk = sw_mem_alloc(sizeof(*chunk) + size);
		chunk->next = table->chunks;
		chunk->size = size;
		table->chunks = chunk;
		table->chunk_left = size;
	}
	table->chunk_left -= wanted;
	table->used_bytes += wanted;
	return chunk->bytes + chunk->size - table->chunk_left - wanted;
}

struct sw_table *sw_table_new(const struct sw_column *columns, uint32_t column_count, size_t max_bytes)
{
	struct sw_table *table = SW_NEW(struct sw_table);

	assert(column_count > 0 && column_count <= SW_TABLE_COLUMNS_MAX);
	table->columns = columns;
	table->column_count = column_count;
	table->max_bytes = max_bytes;
	table->building = sw_mem_zalloc(column_count * sizeof(*table->building));
	table->texts = sw_mem_alloc((size_t)column_count * SW_TABLE_TEXT_MAX);
	for (uint32_t i = 0; i < column_count; i++)
		table->has_keys |= columns[i].kind == SW_COLUMN_KEY;
	return table;
}

void sw_table_free(struct sw_table *table)
{
	if (!table)
		return;
	while (table->chunks) {
		struct sw_table_chunk *chunk = table->chunks;

		table->chunks = chunk->next;
		sw_mem_free(chunk);
	}
	sw_mem_free(table->buckets);
	sw_mem_free(table->building);
	sw_mem_free(table->texts);
	sw_mem_free(table);
}

/* ---- keys */

/* FNV-1a (G. Fowler, L. Noll, P. Vo): short keys of our own, no adversary gains by collisions in one answer.
 */
static uint32_t hash_keys(const struct sw_table *table, const struct sw_cell *cells)
{
	uint32_t hash = 2166136261u;

	for (uint32_t i = 0; i < table->column_count; i++) {
		if (table->columns[i].kind != SW_COLUMN_KEY)
			continue;
		for (const char *c = cells[i].text ? cells[i].text : ""; *c; c++)
			hash = (hash ^ (uint8_t)*c) * 16777619u;
		hash = (hash ^ 0xffu) * 16777619u;
	}
	return hash;
}

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool are_keys_equal(const struct sw_table *table, const struct sw_cell *a, const struct sw_cell *b)
{
	for (uint32_t i = 0; i < table->column_count; i++)
		if (table->columns[i].kind == SW_COLUMN_KEY && !is_same_text(a[i].text, b[i].text))
			return false;
	return true;
}

static struct sw_row *find(const struct sw_table *table, uint32_t hash)
{
	struct sw_row *row = table->bucket_count ? table->buckets[hash & (table->bucket_count - 1)] : NULL;

	while (row && (row->hash != hash || !are_keys_equal(table, row->cells, table->building)))
		row = row->chain;
	return row;
}

static void put_in_bucket(struct sw_table *table, struct sw_row *row)
{
	struct sw_row **bucket = &table->buckets[row->hash & (table->bucket_count - 1)];

	row->chain = *bucket;
	*bucket = row;
}

static void index_row(struct sw_table *table, struct sw_row *added)
{
	if (table->row_count <= table->bucket_count) {
		put_in_bucket(table, added);
		return;
	}
	table->bucket_count = table->bucket_count ? table->bucket_count * 2 : BUCKETS_LEAST;
	sw_mem_free(table->buckets);
	table->buckets = sw_mem_zalloc(table->bucket_count * sizeof(*table->buckets));
	for (struct sw_row *row = table->rows; row; row = row->next)
		put_in_bucket(table, row);
}

/* ---- rows */

static bool is_numeric(const struct sw_column *column)
{
	return column->kind == SW_COLUMN_SUM || column->kind == SW_COLUMN_MAX;
}

void sw_table_begin(struct sw_table *table)
{
	assert(!table->is_building);
	table->is_building = true;
	table->built = 0;
}

static struct sw_cell *next_cell(struct sw_table *table)
{
	struct sw_cell *cell = &table->building[table->built];

	assert(table->is_building && table->built < table->column_count);
	*cell = (struct sw_cell){0};
	table->built++;
	return cell;
}

/* As much of a text as fits, without cutting a letter of UTF-8 in two. */
static size_t cut_length(const char *text)
{
	size_t len = strnlen(text, SW_TABLE_TEXT_MAX);

	if (len < SW_TABLE_TEXT_MAX)
		return len;
	for (len = SW_TABLE_TEXT_MAX - 1; len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80; len--)
		;
	return len;
}

void sw_table_text(struct sw_table *table, const char *text)
{
	char *copy = table->texts + (size_t)table->built * SW_TABLE_TEXT_MAX;
	struct sw_cell *cell = next_cell(table);
	size_t len;

	if (!text)
		return;
	assert(!is_numeric(&table->columns[table->built - 1]));
	len = cut_length(text);
	memcpy(copy, text, len);
	copy[len] = '\0';
	cell->text = copy;
}

void sw_table_number(struct sw_table *table, uint64_t number)
{
	struct sw_cell *cell;
	char digits[24];

	if (table->built < table->column_count && !is_numeric(&table->columns[table->built])) {
		snprintf(digits, sizeof(digits), "%" PRIu64, number);
		sw_table_text(table, digits);
		return;
	}
	cell = next_cell(table);
	cell->number = number;
	cell->has_number = true;
}

/* Copies the row that was built behind the others. */
static void append(struct sw_table *table, uint32_t hash)
{
	size_t cells_bytes = table->column_count * sizeof(struct sw_cell),
	       bytes = sizeof(struct sw_row) + cells_bytes;
	struct sw_row *row;
	char *text;

	for (uint32_t i = 0; i < table->column_count; i++)
		if (table->building[i].text)
			bytes += strlen(table->building[i].text) + 1;
	row = take(table, bytes);
	if (!row) {
		table->dropped++;
		return;
	}
	*row = (struct sw_row){.hash = hash};
	memcpy(row->cells, table->building, cells_bytes);
	text = (char *)row->cells + cells_bytes;
	for (uint32_t i = 0; i < table->column_count; i++) {
		if (!row->cells[i].text)
			continue;
		row->cells[i].text = strcpy(text, table->building[i].text);
		text += strlen(text) + 1;
	}
	if (table->last)
		table->last->next = row;
	else
		table->rows = row;
	table->last = row;
	table->row_count++;
	if (table->has_keys)
		index_row(table, row);
}

/* Is text an element of the list? */
static bool is_listed(const char *list, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = list; (at = strstr(at, text)); at++)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

static void combine_texts(struct sw_table *table, struct sw_cell *cell, const char *text)
{
	size_t old_len, len;
	char *list;

	if (!text || (cell->text && (*text == '\0' || is_listed(cell->text, text))))
		return;
	old_len = cell->text ? strlen(cell->text) : 0;
	len = strlen(text);
	if (old_len + 1 + len >= SW_TABLE_TEXT_MAX)
		return;
	list = take(table, old_len + len + 2);
	if (!list)
		return;
	snprintf(list, old_len + len + 2, "%s%s%s", old_len ? cell->text : "", old_len ? "," : "", text);
	cell->text = list;
}

static void combine(struct sw_table *table, struct sw_row *row)
{
	for (uint32_t i = 0; i < table->column_count; i++) {
		const struct sw_cell *added = &table->building[i];
		struct sw_cell *cell = &row->cells[i];

		switch (table->columns[i].kind) {
		case SW_COLUMN_KEY:
			break;
		case SW_COLUMN_TEXT:
			combine_texts(table, cell, added->text);
			break;
		case SW_COLUMN_FIRST:
			if (!cell->text)
				combine_texts(table, cell, added->text);
			break;
		case SW_COLUMN_SUM:
			cell->number += added->number;
			cell->has_number |= added->has_number;
			break;
		case SW_COLUMN_MAX:
			if (added->number > cell->number)
				cell->number = added->number;
			cell->has_number |= added->has_number;
			break;
		}
	}
}

void sw_table_end(struct sw_table *table)
{
	uint32_t hash = table->has_keys ? hash_keys(table, table->building) : 0;
	struct sw_row *row = table->has_keys ? find(table, hash) : NULL;

	assert(table->is_building && table->built == table->column_count);
	table->is_building = false;
	if (row)
		combine(table, row);
	else
		append(table, hash);
}

void sw_table_merge(struct sw_table *into, const struct sw_table *from)
{
	assert(into != from && into->columns == from->columns);
	into->dropped += from->dropped;
	for (const struct sw_row *row = from->rows; row; row = row->next) {
		sw_table_begin(into);
		for (uint32_t i = 0; i < from->column_count; i++) {
			if (row->cells[i].has_number)
				sw_table_number(into, row->cells[i].number);
			else
				sw_table_text(into, row->cells[i].text);
		}
		sw_table_end(into);
	}
}

uint32_t sw_table_column(const struct sw_table *table, const char *name)
{
	for (uint32_t i = 0; i < table->column_count; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return i;
	assert(!"a column that the table has");
	return 0;
}
