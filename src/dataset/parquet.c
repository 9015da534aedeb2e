/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading Parquet. Sources: parquet-format's README, Encodings.md and parquet.thrift; Thrift's compact protocol. */
#include "parquet.h"

#include "zarr.h"

#include <stdio.h>
#include <string.h>

enum { BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED };
enum { PLAIN = 0, PLAIN_DICTIONARY = 2, RLE = 3, RLE_DICTIONARY = 8, BYTE_STREAM_SPLIT = 9 };
#define MAX_PAGE_BYTES ((int64_t)1 << 28)
#define MAX_VALUES ((int64_t)1 << 26) /* of a column of a row group: a run of equal ones takes few bytes */
#define MAX_FOOTER_BYTES ((size_t)64 << 20)

static mynah_status damaged(const mynah__parquet *p, const char *what) {
  return mynah_fail(MYNAH_CORRUPT, "%s: damaged: %s", p->path, what);
}

/* ---- Thrift's compact protocol
 * ------------------------------------------------------------------------------------------ */

typedef struct reader {
  const uint8_t *at, *end;
  bool is_bad;
} reader;

enum { T_STOP, T_TRUE, T_FALSE, T_BYTE, T_I16, T_I32, T_I64, T_DOUBLE, T_BINARY, T_LIST, T_SET, T_MAP, T_STRUCT };

static uint64_t read_varint(reader *r) {
  uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (r->at >= r->end) break;
    uint8_t b = *r->at++;
    v |= (uint64_t)(b & 127) << shift;
    if (b < 128) return v;
  }
  r->is_bad = true;
  return 0;
}

static int64_t read_int(reader *r) {
  uint64_t v = read_varint(r);
  return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* The next field of a struct; false at its end. */
static bool read_field(reader *r, int *id, int *type) {
  if (r->is_bad || r->at >= r->end) return r->is_bad = true, false;
  uint8_t b = *r->at++;
  *type = b & 15;
  if (*type == T_STOP) return false;
  *id = b >> 4 ? *id + (b >> 4) : (int)read_int(r);
  return !r->is_bad;
}

static size_t read_list(reader *r, int *type) {
  if (r->at >= r->end) return r->is_bad = true, 0;
  uint8_t b = *r->at++;
  size_t n = b >> 4 == 15 ? (size_t)read_varint(r) : b >> 4;
  *type = b & 15;
  if (n > (size_t)(r->end - r->at)) r->is_bad = true; /* an element takes a byte at least */
  return r->is_bad ? 0 : n;
}

static void read_text(reader *r, char *out, size_t size) {
  size_t n = (size_t)read_varint(r);
  if (r->is_bad || n > (size_t)(r->end - r->at)) {
    r->is_bad = true;
    return;
  }
  snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), (const char *)r->at);
  r->at += n;
}

static void skip_value(reader *r, int type, int depth) {
  char unused[1];
  int element, id = 0;
  if (depth > 16) r->is_bad = true;
  if (r->is_bad) return;
  switch (type) {
  case T_TRUE:
  case T_FALSE: break;
  case T_BYTE: r->at++; break;
  case T_I16:
  case T_I32:
  case T_I64: read_varint(r); break;
  case T_DOUBLE: r->at += r->end - r->at < 8 ? r->end - r->at : 8; break;
  case T_BINARY: read_text(r, unused, sizeof unused); break;
  case T_LIST:
  case T_SET:
    for (size_t n = read_list(r, &element); n > 0 && !r->is_bad; n--)
      if (element == T_TRUE || element == T_FALSE) r->at++; /* within a list a boolean is a byte */
      else skip_value(r, element, depth + 1);
    break;
  case T_STRUCT:
    while (read_field(r, &id, &element)) skip_value(r, element, depth + 1);
    break;
  default: r->is_bad = true;
  }
  if (r->at > r->end) r->is_bad = true;
}

/* ---- the footer
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct element { /* of the schema, depth first */
  int type, width, repetition, n_children;
  char name[96];
} element;

static void read_element(reader *r, element *e) {
  int id = 0, type;
  *e = (element){.type = -1};
  while (read_field(r, &id, &type)) {
    if (id == 1) e->type = (int)read_int(r);
    else if (id == 2) e->width = (int)read_int(r);
    else if (id == 3) e->repetition = (int)read_int(r);
    else if (id == 4) read_text(r, e->name, sizeof e->name);
    else if (id == 5) e->n_children = (int)read_int(r);
    else skip_value(r, type, 0);
  }
}

/* Where in the tree the walk is: names so far, levels so far, children still to come. */
typedef struct place {
  size_t length;
  int definition, repetition, n_left;
} place;

static mynah_status add_leaf(mynah__parquet *p, const element *e, const place *at, char *name) {
  static const int widths[] = {1, 4, 8, 12, 4, 8, 0, 0};
  mynah__leaf l = {.type = e->type, .max_definition = at->definition, .max_repetition = at->repetition};
  if (e->type < 0 || e->type > FIXED) return damaged(p, "a column of no type");
  l.width = e->type == FIXED ? e->width : widths[e->type];
  if (l.width < 0 || l.width > 65536) return damaged(p, "a column of an impossible width");
  snprintf(l.name, sizeof l.name, "%s", name);
  MYNAH_TRY(mynah_grow((void **)&p->leaves, &p->cap_leaves, p->n_leaves + 1, sizeof *p->leaves));
  p->leaves[p->n_leaves++] = l;
  return MYNAH_OK;
}

static mynah_status read_schema(mynah__parquet *p, reader *r) {
  char name[160] = "", top[96] = "";
  place stack[MYNAH__PARQUET_DEPTH + 1];
  int type, depth = 0;
  size_t n = read_list(r, &type);
  element e;
  if (n == 0) return damaged(p, "no schema");
  read_element(r, &e);
  stack[0] = (place){0, 0, 0, e.n_children};
  for (size_t i = 1; i < n && !r->is_bad; i++) {
    read_element(r, &e);
    while (depth > 0 && stack[depth].n_left == 0) depth--;
    if (stack[depth].n_left-- <= 0) return damaged(p, "its schema");
    place here = stack[depth];
    here.definition += e.repetition != 0;
    here.repetition += e.repetition == 2;
    if (depth == 0) memcpy(top, e.name, sizeof top);
    here.length += (size_t)snprintf(name + here.length, sizeof name - here.length, "%s%s", depth ? "." : "", e.name);
    if (here.length >= sizeof name) return mynah_fail(MYNAH_LIMIT, "%s: a column's name is too long", p->path);
    if (e.n_children > 0) {
      if (++depth > MYNAH__PARQUET_DEPTH) return mynah_fail(MYNAH_LIMIT, "%s: columns are nested too deep", p->path);
      here.n_left = e.n_children;
      stack[depth] = here;
      continue;
    }
    MYNAH_TRY(add_leaf(p, &e, &here, name));
    memcpy(p->leaves[p->n_leaves - 1].top, top, sizeof top);
  }
  return r->is_bad || p->n_leaves == 0 ? damaged(p, "its schema") : MYNAH_OK;
}

static void read_chunk(reader *r, mynah__chunk *c) {
  int id = 0, type, inner = 0;
  int64_t data = -1, dictionary = -1;
  *c = (mynah__chunk){0};
  while (read_field(r, &id, &type)) {
    if (id != 3 || type != T_STRUCT) {
      skip_value(r, type, 0);
      continue;
    }
    for (inner = 0; read_field(r, &inner, &type);) {
      if (inner == 4) c->codec = (int)read_int(r);
      else if (inner == 5) c->n_values = read_int(r);
      else if (inner == 7) c->packed = read_int(r);
      else if (inner == 9) data = read_int(r);
      else if (inner == 11) dictionary = read_int(r);
      else skip_value(r, type, 0);
    }
  }
  c->offset = dictionary > 0 && dictionary < data ? dictionary : data;
}

static mynah_status read_group(mynah__parquet *p, reader *r) {
  int id = 0, type, element_type;
  MYNAH_TRY(mynah_grow((void **)&p->chunks, &p->cap_chunks, (p->n_groups + 1) * p->n_leaves, sizeof *p->chunks));
  MYNAH_TRY(mynah_grow((void **)&p->group_rows, &p->cap_groups, p->n_groups + 1, sizeof *p->group_rows));
  mynah__chunk *chunks = p->chunks + p->n_groups * p->n_leaves;
  int64_t rows = -1;
  size_t n = 0;
  while (read_field(r, &id, &type)) {
    if (id == 1 && type == T_LIST) {
      n = read_list(r, &element_type);
      if (n != p->n_leaves) return damaged(p, "a row group lacks columns");
      for (size_t i = 0; i < n && !r->is_bad; i++) read_chunk(r, &chunks[i]);
    } else if (id == 3) rows = read_int(r);
    else skip_value(r, type, 0);
  }
  for (size_t i = 0; i < n; i++)
    if (chunks[i].offset < 4 || chunks[i].packed < 0 || (size_t)chunks[i].offset > p->map.size ||
        (size_t)chunks[i].packed > p->map.size - (size_t)chunks[i].offset)
      return damaged(p, "a column is not where it is said to be");
  if (r->is_bad || n != p->n_leaves || rows < 0 || rows > MAX_VALUES) return damaged(p, "a row group");
  p->group_rows[p->n_groups++] = rows;
  return MYNAH_OK;
}

static mynah_status read_footer(mynah__parquet *p) {
  const uint8_t *data = p->map.data;
  size_t n = p->map.size;
  uint32_t length;
  if (n < 12 || memcmp(data, "PAR1", 4) != 0 || memcmp(data + n - 4, "PAR1", 4) != 0)
    return mynah_fail(MYNAH_CORRUPT, "%s: is no Parquet file, or was cut before its footer was written", p->path);
  memcpy(&length, data + n - 8, 4);
  if (length > n - 12 || length > MAX_FOOTER_BYTES) return damaged(p, "its footer");
  reader r = {data + n - 8 - length, data + n - 8, false};
  int id = 0, type, element_type;
  while (read_field(&r, &id, &type)) {
    if (id == 2 && type == T_LIST && p->n_leaves == 0) MYNAH_TRY(read_schema(p, &r));
    else if (id == 4 && type == T_LIST && p->n_leaves > 0)
      for (size_t k = read_list(&r, &element_type); k > 0 && !r.is_bad; k--) MYNAH_TRY(read_group(p, &r));
    else skip_value(&r, type, 0);
  }
  return r.is_bad || p->n_leaves == 0 ? damaged(p, "its footer") : MYNAH_OK;
}

mynah_status mynah__parquet_open(const char *path, mynah__parquet *out) {
  mynah__parquet p = {0};
  MYNAH_TRY(mynah_copy_text(p.path, sizeof p.path, path));
  MYNAH_TRY(mynah_map_open(path, &p.map));
  mynah_status status = read_footer(&p);
  if (status != MYNAH_OK) {
    mynah__parquet_close(&p);
    return status;
  }
  *out = p;
  return MYNAH_OK;
}

void mynah__parquet_close(mynah__parquet *p) {
  mynah_map_close(&p->map);
  mynah_free(p->leaves);
  mynah_free(p->chunks);
  mynah_free(p->group_rows);
  *p = (mynah__parquet){0};
}

int mynah__parquet_find(const mynah__parquet *p, const char *top, const char *last) {
  for (size_t i = 0; i < p->n_leaves; i++) {
    const char *dot = strrchr(p->leaves[i].name, '.');
    if (strcmp(p->leaves[i].top, top) == 0 && (!last || (dot && strcmp(dot + 1, last) == 0))) return (int)i;
  }
  return -1;
}

/* ---- pages
 * --------------------------------------------------------------------------------------------------------------- */

typedef struct page {
  int kind, encoding; /* 0 data, 2 dictionary, 3 data of version 2 */
  int64_t unpacked, packed, n_values, definition_bytes, repetition_bytes;
  bool is_packed;
} page;

static void read_page_part(reader *r, int part, page *g) {
  int id = 0, type;
  while (read_field(r, &id, &type)) {
    if (type == T_TRUE || type == T_FALSE) {
      if (part == 8 && id == 7) g->is_packed = type == T_TRUE;
    } else if (id == 1) g->n_values = read_int(r);
    else if (id == (part == 8 ? 4 : 2)) g->encoding = (int)read_int(r);
    else if (part == 8 && id == 5) g->definition_bytes = read_int(r);
    else if (part == 8 && id == 6) g->repetition_bytes = read_int(r);
    else skip_value(r, type, 0);
  }
}

static mynah_status read_page_head(const mynah__parquet *p, reader *r, page *g) {
  int id = 0, type;
  *g = (page){.kind = -1, .is_packed = true};
  while (read_field(r, &id, &type)) {
    if (id == 1) g->kind = (int)read_int(r);
    else if (id == 2) g->unpacked = read_int(r);
    else if (id == 3) g->packed = read_int(r);
    else if ((id == 5 || id == 7 || id == 8) && type == T_STRUCT) read_page_part(r, id, g);
    else skip_value(r, type, 0);
  }
  if (r->is_bad || g->packed < 0 || g->packed > r->end - r->at || g->unpacked < 0 || g->n_values < 0 ||
      g->definition_bytes < 0 || g->repetition_bytes < 0 || g->definition_bytes > g->packed ||
      g->repetition_bytes > g->packed - g->definition_bytes)
    return damaged(p, "a page");
  if (g->unpacked > MAX_PAGE_BYTES || g->n_values > MAX_VALUES)
    return mynah_fail(MYNAH_LIMIT, "%s: a page is too large", p->path);
  return MYNAH_OK;
}

/* The page's bytes, unpacked, into a page of the column's; levels of version 2 are never packed. */
static mynah_status unpack_page(const mynah__parquet *p, int codec, const uint8_t *data, const page *g,
                                mynah__column *c, reader *out) {
  static const char *const names[] = {"", "snappy", "gzip", NULL, NULL, NULL, "zstd"};
  size_t levels = (size_t)(g->definition_bytes + g->repetition_bytes), n = (size_t)g->unpacked;
  if (codec < 0 || codec > 6 || !names[codec])
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: compression %d cannot be read (snappy, gzip, zstd can)", p->path, codec);
  if (levels > n) return damaged(p, "a page");
  MYNAH_TRY(mynah_grow((void **)&c->pages, &c->cap_pages, c->n_pages + 1, sizeof *c->pages));
  uint8_t *to = mynah_alloc(n + 8);
  if (!to) return MYNAH_NO_MEMORY;
  c->pages[c->n_pages++] = to;
  memcpy(to, data, levels);
  if ((size_t)g->unpacked == levels) return *out = (reader){to, to + n, false}, MYNAH_OK;
  int k = 0;
  const char *name = g->is_packed ? names[codec] : "";
  while (strcmp(mynah__unpackers[k].name, name) != 0) k++;
  *out = (reader){to, to + n, false};
  return mynah__unpackers[k].run(p->path, data + levels, (size_t)g->packed - levels, to + levels, n - levels);
}

/* RLE and bit-packing mixed: n numbers of `width` bits. */
static bool read_hybrid(reader *r, int width, int64_t n, uint32_t *out) {
  for (int64_t i = 0; i < n;) {
    uint64_t head = read_varint(r);
    uint32_t v = 0;
    if (r->is_bad) return false;
    if (!(head & 1)) {
      int64_t run = head >> 1 < (uint64_t)(n - i) ? (int64_t)(head >> 1) : n - i, bytes = (width + 7) / 8;
      if (r->end - r->at < bytes || run == 0) return false;
      memcpy(&v, r->at, (size_t)bytes);
      r->at += bytes;
      for (; run > 0; run--) out[i++] = v;
      continue;
    }
    uint64_t bits = 0;
    int have = 0;
    uint64_t total = (head >> 1) * 8;
    if ((head >> 1) > (uint64_t)(r->end - r->at) + 1 || (head >> 1) * (uint64_t)width > (uint64_t)(r->end - r->at))
      return false;
    const uint8_t *end = r->at + (head >> 1) * (uint64_t)width;
    for (; total > 0 && i < n; total--) {
      while (have < width && r->at < end) bits |= (uint64_t)*r->at++ << have, have += 8;
      out[i++] = (uint32_t)(bits & (((uint64_t)1 << width) - 1));
      bits >>= width;
      have -= width;
    }
    r->at = end;
  }
  return true;
}

static int bit_width(int max) {
  int n = 0;
  while (max >> n) n++;
  return n;
}

/* Levels of n values; without a maximum there are none. Version 1 says their length before them. */
static bool read_levels(reader *r, int max, const page *g, int64_t v2_bytes, uint32_t *out) {
  uint32_t length = (uint32_t)v2_bytes;
  memset(out, 0, (size_t)g->n_values * sizeof *out);
  if (max == 0) return r->at += g->kind == 3 ? v2_bytes : 0, true;
  if (g->kind != 3) {
    if (r->end - r->at < 4) return false;
    memcpy(&length, r->at, 4);
    r->at += 4;
  }
  if (length > (size_t)(r->end - r->at)) return false;
  reader levels = {r->at, r->at + length, false};
  r->at += length;
  return read_hybrid(&levels, bit_width(max), g->n_values, out);
}

/* ---- values
 * -------------------------------------------------------------------------------------------------------------- */

static mynah_status make_room(const mynah__leaf *l, mynah__column *c, int64_t n) {
  size_t need = (size_t)(c->n_values + n) + 1;
  if (c->n_values + n > MAX_VALUES)
    return mynah_fail(MYNAH_LIMIT, "parquet: a column of over %lld values", (long long)MAX_VALUES);
  return l->width ? mynah_grow((void **)&c->values, &c->cap_values, need * (size_t)l->width, 1)
                  : mynah_grow((void **)&c->texts, &c->cap_texts, need, sizeof *c->texts);
}

/* n values, one after the other, to the end of the column. */
static bool read_plain(reader *r, const mynah__leaf *l, int64_t n, mynah__column *c) {
  size_t width = (size_t)l->width;
  uint8_t *to = width ? c->values + (size_t)c->n_values * width : NULL;
  if (l->type == BOOLEAN) {
    if ((n + 7) / 8 > r->end - r->at) return false;
    for (int64_t i = 0; i < n; i++) to[i] = r->at[i / 8] >> (i % 8) & 1;
  } else if (width) {
    if ((size_t)n > (size_t)(r->end - r->at) / width) return false;
    memcpy(to, r->at, (size_t)n * width);
    r->at += (size_t)n * width;
  }
  for (int64_t i = 0; i < n && !width; i++) {
    uint32_t bytes;
    if (r->end - r->at < 4) return false;
    memcpy(&bytes, r->at, 4);
    r->at += 4;
    if (bytes > (size_t)(r->end - r->at)) return false;
    c->texts[c->n_values + i].data = r->at;
    c->texts[c->n_values + i].bytes = bytes;
    r->at += bytes;
  }
  c->n_values += n;
  return true;
}

static bool read_split(reader *r, const mynah__leaf *l, int64_t n, mynah__column *c) {
  size_t width = (size_t)l->width;
  if (!width || (size_t)n > (size_t)(r->end - r->at) / width) return false;
  for (int64_t i = 0; i < n; i++)
    for (size_t b = 0; b < width; b++)
      c->values[(size_t)(c->n_values + i) * width + b] = r->at[b * (size_t)n + (size_t)i];
  c->n_values += n;
  return true;
}

static bool read_indices(reader *r, const mynah__leaf *l, int64_t n, const mynah__column *dictionary, uint32_t *work,
                         mynah__column *c) {
  size_t width = (size_t)l->width;
  if (n == 0) return true;
  if (r->at >= r->end || *r->at > 32 || !read_hybrid(&(reader){r->at + 1, r->end, false}, *r->at, n, work))
    return false;
  for (int64_t i = 0; i < n; i++) {
    if (work[i] >= dictionary->n_values) return false;
    if (width) memcpy(c->values + (size_t)(c->n_values + i) * width, dictionary->values + work[i] * width, width);
    else c->texts[c->n_values + i] = dictionary->texts[work[i]];
  }
  c->n_values += n;
  return true;
}

static mynah_status read_values(const mynah__parquet *p, const mynah__leaf *l, reader *r, const page *g, int64_t n,
                                const mynah__column *dictionary, uint32_t *work, mynah__column *c) {
  bool is_good = false;
  MYNAH_TRY(make_room(l, c, n));
  if (g->encoding == PLAIN) is_good = read_plain(r, l, n, c);
  else if (g->encoding == PLAIN_DICTIONARY || g->encoding == RLE_DICTIONARY)
    is_good = read_indices(r, l, n, dictionary, work, c);
  else if (g->encoding == BYTE_STREAM_SPLIT) is_good = read_split(r, l, n, c);
  else if (g->encoding == RLE && l->type == BOOLEAN && r->end - r->at >= 4) {
    is_good = read_hybrid(&(reader){r->at + 4, r->end, false}, 1, n, work);
    for (int64_t i = 0; i < n && is_good; i++) c->values[c->n_values + i] = (uint8_t)work[i];
    c->n_values += n;
  } else
    return mynah_fail(MYNAH_UNSUPPORTED, "%s: '%s' has encoding %d, which cannot be read", p->path, l->name,
                      g->encoding);
  return is_good ? MYNAH_OK : damaged(p, l->name);
}

/* A page of data: levels say where rows begin and which values are there. Shape: work (2, n_values) */
static mynah_status take_page(const mynah__parquet *p, const mynah__leaf *l, reader *r, const page *g,
                              const mynah__column *dictionary, uint32_t *work, mynah__column *c) {
  uint32_t *repetition = work, *definition = work + g->n_values;
  int64_t n_there = 0;
  if (!read_levels(r, l->max_repetition, g, g->repetition_bytes, repetition) ||
      !read_levels(r, l->max_definition, g, g->definition_bytes, definition))
    return damaged(p, l->name);
  MYNAH_TRY(mynah_grow((void **)&c->starts, &c->cap_starts, (size_t)(c->n_rows + g->n_values) + 2, sizeof *c->starts));
  for (int64_t i = 0; i < g->n_values; i++) {
    if (repetition[i] == 0) c->starts[c->n_rows++] = c->n_values + n_there;
    n_there += l->max_definition == 0 || (int)definition[i] == l->max_definition;
  }
  return read_values(p, l, r, g, n_there, dictionary, work, c);
}

static mynah_status read_pages(const mynah__parquet *p, const mynah__leaf *l, const mynah__chunk *chunk,
                               mynah__column *c) {
  reader r = {(const uint8_t *)p->map.data + chunk->offset,
              (const uint8_t *)p->map.data + chunk->offset + chunk->packed, false};
  mynah__column dictionary = {0};
  mynah_status status = MYNAH_OK;
  for (int64_t seen = 0; seen < chunk->n_values && status == MYNAH_OK;) {
    page g;
    reader data = {0};
    status = read_page_head(p, &r, &g);
    if (status == MYNAH_OK) status = unpack_page(p, chunk->codec, r.at, &g, c, &data);
    if (status != MYNAH_OK) break;
    r.at += g.packed;
    if (g.kind == 2) {
      status = make_room(l, &dictionary, g.n_values);
      if (status == MYNAH_OK && !read_plain(&data, l, g.n_values, &dictionary)) status = damaged(p, l->name);
    } else if (g.kind == 0 || g.kind == 3) {
      uint32_t *work = mynah_calloc(2 * (size_t)g.n_values + 1, sizeof *work);
      status = work ? take_page(p, l, &data, &g, &dictionary, work, c) : MYNAH_NO_MEMORY;
      mynah_free(work);
      seen += g.n_values;
      if (g.n_values == 0 && r.at >= r.end) break;
    }
  }
  mynah_free(dictionary.values);
  mynah_free(dictionary.texts);
  return status;
}

mynah_status mynah__parquet_read(const mynah__parquet *p, size_t group, int leaf, mynah__column *out) {
  mynah__column c = {0};
  const mynah__leaf *l = &p->leaves[leaf];
  mynah_status status = read_pages(p, l, &p->chunks[group * p->n_leaves + (size_t)leaf], &c);
  if (status == MYNAH_OK)
    status = mynah_grow((void **)&c.starts, &c.cap_starts, (size_t)c.n_rows + 1, sizeof *c.starts);
  if (status == MYNAH_OK && c.n_rows != p->group_rows[group])
    status = damaged(p, "a column has not as many rows as its group");
  if (status != MYNAH_OK) {
    mynah__column_deinit(&c);
    return status;
  }
  c.starts[c.n_rows] = c.n_values;
  *out = c;
  return MYNAH_OK;
}

void mynah__column_deinit(mynah__column *c) {
  for (size_t i = 0; i < c->n_pages; i++) mynah_free(c->pages[i]);
  mynah_free(c->pages);
  mynah_free(c->starts);
  mynah_free(c->values);
  mynah_free(c->texts);
  *c = (mynah__column){0};
}

double mynah__column_number(const mynah__leaf *leaf, const mynah__column *c, int64_t i) {
  float f;
  double d;
  const uint8_t *at = c->values + (size_t)i * (size_t)leaf->width;
  if (leaf->type == FLOAT) return memcpy(&f, at, 4), (double)f;
  if (leaf->type == DOUBLE) return memcpy(&d, at, 8), d;
  return (double)mynah__column_integer(leaf, c, i);
}

int64_t mynah__column_integer(const mynah__leaf *leaf, const mynah__column *c, int64_t i) {
  int32_t n32;
  int64_t n64;
  const uint8_t *at = c->values + (size_t)i * (size_t)leaf->width;
  if (leaf->type == INT32) return memcpy(&n32, at, 4), n32;
  if (leaf->type == INT64) return memcpy(&n64, at, 8), n64;
  if (leaf->type == BOOLEAN) return *at;
  double v = leaf->type == FLOAT || leaf->type == DOUBLE ? mynah__column_number(leaf, c, i) : -1;
  return v >= -9e18 && v <= 9e18 ? (int64_t)v : -1;
}
