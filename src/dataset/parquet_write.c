/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Writing Parquet. Sources: parquet.thrift, Encodings.md; Thrift's compact protocol. */
#include "parquet_write.h"

#include "export.h"

#include <string.h>

enum { T_TRUE = 1, T_I32 = 5, T_I64, T_BINARY = 8, T_LIST, T_STRUCT = 12 };

/* ---- Thrift: a field is (distance from the last, type), its value follows
 * ------------------------------------------------- */

static void put_varint(mynah_str *s, uint64_t v) {
  for (; v >= 128; v >>= 7) mynah_str_append(s, &(uint8_t){(uint8_t)(v | 128)}, 1);
  mynah_str_append(s, &(uint8_t){(uint8_t)v}, 1);
}

static void put_head(mynah_str *s, int step, int type) {
  mynah_str_append(s, &(uint8_t){(uint8_t)(step << 4 | type)}, 1);
}
static void put_zigzag(mynah_str *s, int64_t v) { put_varint(s, (uint64_t)v << 1 ^ (uint64_t)(v >> 63)); }

static void put_int(mynah_str *s, int step, int type, int64_t v) {
  put_head(s, step, type);
  put_zigzag(s, v);
}

static void put_text(mynah_str *s, const char *text) {
  put_varint(s, strlen(text));
  mynah_str_append(s, text, strlen(text));
}

static void put_list(mynah_str *s, int step, int type, int n) {
  put_head(s, step, T_LIST);
  put_head(s, n < 15 ? n : 15, type);
  if (n >= 15) put_varint(s, (uint64_t)n);
}

static void put_stop(mynah_str *s) { mynah_str_append(s, "", 1); }

/* ---- schema
 * ------------------------------------------------------------------------------------------------------------------ */

static int physical(mynah__pq_kind kind) {
  static const int types[] = {0, 1, 2, 4, 5, 6};
  return types[kind];
}

/* repetition: 0 required, 2 repeated. converted: −1 none, 0 UTF8, 3 LIST. type −1: a group of n_children. */
static void put_element(mynah_str *s, const char *name, int type, int repetition, int n_children, int converted) {
  int last = 0;
  if (type >= 0) put_int(s, 1, T_I32, type), last = 1;
  put_int(s, 3 - last, T_I32, repetition);
  put_head(s, 1, T_BINARY);
  put_text(s, name);
  last = 4;
  if (n_children > 0) put_int(s, 1, T_I32, n_children), last = 5;
  if (converted >= 0) put_int(s, 6 - last, T_I32, converted);
  put_stop(s);
}

static void put_schema(const mynah__pq_writer *w, mynah_str *s) {
  int n = 1;
  for (int i = 0; i < w->n_fields; i++) n += w->fields[i].shape == MYNAH__PQ_ONE ? 1 : 3;
  put_list(s, 1, T_STRUCT, n);
  put_element(s, "schema", -1, 0, w->n_fields, -1);
  for (int i = 0; i < w->n_fields; i++) {
    const mynah__pq_field *f = &w->fields[i];
    int converted = f->kind == MYNAH__PQ_TEXT ? 0 : -1;
    if (f->shape == MYNAH__PQ_ONE) put_element(s, f->name, physical(f->kind), 0, 0, converted);
    if (f->shape == MYNAH__PQ_LIST) {
      put_element(s, f->name, -1, 0, 1, 3);
      put_element(s, "list", -1, 2, 1, -1);
      put_element(s, "element", physical(f->kind), 0, 0, converted);
    }
    if (f->shape == MYNAH__PQ_PICTURE) {
      put_element(s, f->name, -1, 0, 2, -1);
      put_element(s, "bytes", 6, 0, 0, -1);
      put_element(s, "path", 6, 0, 0, 0);
    }
  }
}

/* ---- pages
 * --------------------------------------------------------------------------------------------------------------------
 */

static mynah_status put(mynah__pq_writer *w, const void *data, size_t n) {
  w->offset += (int64_t)n;
  return mynah__put_bytes(w->file, w->path, data, n);
}

mynah_status mynah__pq_create(const char *path, const mynah__pq_field *fields, int n_fields, mynah__pq_writer *out) {
  mynah__pq_writer w = {.fields = fields, .n_fields = n_fields, .file = fopen(path, "wbx")};
  if (!w.file) return mynah_fail_errno(path, "cannot make");
  mynah_status status = mynah_copy_text(w.path, sizeof w.path, path);
  if (status == MYNAH_OK) status = put(&w, "PAR1", 4);
  w.start = w.offset;
  if (status != MYNAH_OK) return mynah__close_file(w.file, path, status);
  *out = w;
  return MYNAH_OK;
}

/* Runs of equal levels, one bit wide, their length before them. */
static void put_levels(mynah_str *s, int64_t n_rows, int64_t size) {
  mynah_str repetition = {0}, definition = {0};
  for (int64_t i = 0; i < n_rows; i++) {
    put_varint(&repetition, 1 << 1);
    mynah_str_append(&repetition, "\0", 1);
    if (size > 1) put_varint(&repetition, (uint64_t)(size - 1) << 1), mynah_str_append(&repetition, "\1", 1);
  }
  put_varint(&definition, (uint64_t)(n_rows * size) << 1);
  mynah_str_append(&definition, "\1", 1);
  const mynah_str *const both[] = {&repetition, &definition};
  for (int i = 0; i < 2; i++) {
    uint32_t n = (uint32_t)both[i]->length;
    mynah_str_append(s, &n, 4);
    mynah_str_append(s, both[i]->data, both[i]->length);
    s->is_failed = s->is_failed || both[i]->is_failed;
  }
  mynah_str_deinit(&repetition);
  mynah_str_deinit(&definition);
}

mynah_status mynah__pq_page(mynah__pq_writer *w, int field, int64_t n_rows, const void *data, size_t bytes) {
  const mynah__pq_field *f = &w->fields[field];
  mynah_str levels = {0}, head = {0}, bits = {0};
  int64_t n = n_rows * (f->shape == MYNAH__PQ_LIST ? f->size : 1);
  if (f->shape == MYNAH__PQ_LIST) put_levels(&levels, n_rows, f->size);
  if (f->kind == MYNAH__PQ_BOOL && f->shape != MYNAH__PQ_PICTURE) { /* eight to a byte */
    for (int64_t i = 0; i < n; i += 8) {
      uint8_t b = 0;
      for (int64_t k = i; k < n && k < i + 8; k++) b |= (uint8_t)((((const uint8_t *)data)[k] != 0) << (k - i));
      mynah_str_append(&bits, &b, 1);
    }
    data = bits.data;
    bytes = bits.length;
  }
  put_int(&head, 1, T_I32, 0);
  put_int(&head, 1, T_I32, (int64_t)(levels.length + bytes));
  put_int(&head, 1, T_I32, (int64_t)(levels.length + bytes));
  put_head(&head, 2, T_STRUCT);
  put_int(&head, 1, T_I32, n);
  put_int(&head, 1, T_I32, 0);
  put_int(&head, 1, T_I32, 3);
  put_int(&head, 1, T_I32, 3);
  put_stop(&head);
  put_stop(&head);
  mynah_status status =
      head.is_failed || levels.is_failed || bits.is_failed ? MYNAH_NO_MEMORY : put(w, head.data, head.length);
  if (status == MYNAH_OK) status = put(w, levels.data, levels.length);
  if (status == MYNAH_OK) status = put(w, data, bytes);
  w->n_values += n;
  mynah_str_deinit(&head);
  mynah_str_deinit(&levels);
  mynah_str_deinit(&bits);
  return status;
}

void mynah__pq_end_column(mynah__pq_writer *w, int field, int part) {
  const mynah__pq_field *f = &w->fields[field];
  mynah_str *s = &w->columns;
  put_int(s, 2, T_I64, w->start); /* file_offset */
  put_head(s, 1, T_STRUCT);
  put_int(s, 1, T_I32, f->shape == MYNAH__PQ_PICTURE ? 6 : physical(f->kind));
  put_list(s, 1, T_I32, 2);
  put_zigzag(s, 0);
  put_zigzag(s, 3);
  put_list(s, 1, T_BINARY, f->shape == MYNAH__PQ_ONE ? 1 : f->shape == MYNAH__PQ_LIST ? 3 : 2);
  put_text(s, f->name);
  if (f->shape == MYNAH__PQ_LIST) put_text(s, "list"), put_text(s, "element");
  if (f->shape == MYNAH__PQ_PICTURE) put_text(s, part ? "path" : "bytes");
  put_int(s, 1, T_I32, 0);
  put_int(s, 1, T_I64, w->n_values);
  put_int(s, 1, T_I64, w->offset - w->start);
  put_int(s, 1, T_I64, w->offset - w->start);
  put_int(s, 2, T_I64, w->start);
  put_stop(s);
  put_stop(s);
  w->n_columns++;
  w->start = w->offset;
  w->n_values = 0;
}

void mynah__pq_end_group(mynah__pq_writer *w, int64_t n_rows) {
  put_list(&w->groups, 1, T_STRUCT, w->n_columns);
  mynah_str_append(&w->groups, w->columns.data, w->columns.length);
  put_int(&w->groups, 1, T_I64, w->offset);
  put_int(&w->groups, 1, T_I64, n_rows);
  put_stop(&w->groups);
  w->groups.is_failed = w->groups.is_failed || w->columns.is_failed;
  w->columns.length = 0;
  w->n_columns = 0;
  w->n_groups++;
  w->n_rows += n_rows;
}

mynah_status mynah__pq_close(mynah__pq_writer *w, const char *key, const char *value, mynah_status status) {
  mynah_str s = {0};
  put_int(&s, 1, T_I32, 2);
  put_schema(w, &s);
  put_int(&s, 1, T_I64, w->n_rows);
  put_list(&s, 1, T_STRUCT, w->n_groups);
  mynah_str_append(&s, w->groups.data, w->groups.length);
  if (key) {
    put_list(&s, 1, T_STRUCT, 1);
    put_head(&s, 1, T_BINARY);
    put_text(&s, key);
    put_head(&s, 1, T_BINARY);
    put_text(&s, value);
    put_stop(&s);
  }
  put_head(&s, key ? 1 : 2, T_BINARY);
  put_text(&s, "mynah " MYNAH_VERSION);
  put_stop(&s);
  uint32_t n = (uint32_t)s.length;
  if (status == MYNAH_OK && (s.is_failed || w->groups.is_failed)) status = MYNAH_NO_MEMORY;
  if (status == MYNAH_OK) status = put(w, s.data, s.length);
  if (status == MYNAH_OK) status = put(w, &n, 4);
  if (status == MYNAH_OK) status = put(w, "PAR1", 4);
  mynah_str_deinit(&s);
  mynah_str_deinit(&w->groups);
  mynah_str_deinit(&w->columns);
  return mynah__close_file(w->file, w->path, status);
}

void mynah__pq_put_text(mynah_str *s, const void *text, size_t n) {
  uint32_t length = (uint32_t)n;
  mynah_str_append(s, &length, 4);
  mynah_str_append(s, text, n);
}
