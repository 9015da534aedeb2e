/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The compressions of zarr chunks and Parquet pages: none, Blosc with all its codecs, zlib and gzip, Zstandard, Snappy. */
#include "zarr.h"

#include <blosc.h>
#include <string.h>
#include <zlib.h>

static mynah_status damaged(const char *path, size_t n) {
  return mynah_fail(MYNAH_CORRUPT, "%s: the chunk is damaged or cut (%zu bytes)", path, n);
}

static mynah_status copy_chunk(const char *path, const uint8_t *data, size_t n, uint8_t *out, size_t due) {
  if (n != due)
    return mynah_fail(MYNAH_CORRUPT, "%s: the chunk is cut or too long: %zu bytes instead of %zu", path, n, due);
  memcpy(out, data, n);
  return MYNAH_OK;
}

/* zlib and gzip by their headers. */
static mynah_status inflate_chunk(const char *path, const uint8_t *data, size_t n, uint8_t *out, size_t due) {
  z_stream s = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)due};
  if (inflateInit2(&s, 15 + 32) != Z_OK) return mynah_fail(MYNAH_NO_MEMORY, "%s: cannot be unpacked", path);
  int code = inflate(&s, Z_FINISH);
  size_t left = s.avail_out;
  inflateEnd(&s);
  return code == Z_STREAM_END && left == 0 ? MYNAH_OK : damaged(path, n);
}

/* c-blosc believes the sizes in a chunk's header, so they are compared with what is due first. */
static mynah_status unblosc_chunk(const char *path, const uint8_t *data, size_t n, uint8_t *out, size_t due) {
  size_t unpacked = 0, packed = 0, block = 0;
  if (n < BLOSC_MIN_HEADER_LENGTH) return damaged(path, n);
  blosc_cbuffer_sizes(data, &unpacked, &packed, &block);
  if (unpacked != due || packed != n || blosc_cbuffer_validate(data, n, &unpacked) != 0) return damaged(path, n);
  return blosc_decompress_ctx(data, out, due, 1) == (int)due ? MYNAH_OK : damaged(path, n);
}

static void put_int(uint8_t *p, size_t v) {
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Blosc holds Zstandard, so a plain frame is handed to it as a Blosc buffer of one unshuffled block; see "Blosc chunk
 * format": 16 bytes of header, the block's start, its length, the frame. A block as long as its content would be taken
 * for stored: an empty skippable frame (RFC 8878, 3.1.2) behind it makes it longer. */
static mynah_status unzstd_chunk(const char *path, const uint8_t *data, size_t n, uint8_t *out, size_t due) {
  enum { HEADER = 16, ZSTD = 4 << 5, NO_SPLIT = 0x10, EMPTY_FRAME = 8 };
  static const uint8_t empty[EMPTY_FRAME] = {0x50, 0x2a, 0x4d, 0x18};
  size_t length = n == due ? n + EMPTY_FRAME : n, total = HEADER + 8 + length;
  if (n < 4 || memcmp(data, "\x28\xb5\x2f\xfd", 4) != 0) return damaged(path, n);
  uint8_t *packed = mynah_alloc(total);
  if (!packed) return mynah_error_context(MYNAH_NO_MEMORY, "%s", path);
  memcpy(packed, (const uint8_t[4]){BLOSC_VERSION_FORMAT, 1, ZSTD | NO_SPLIT, 1}, 4);
  put_int(packed + 4, due);
  put_int(packed + 8, due);
  put_int(packed + 12, total);
  put_int(packed + HEADER, HEADER + 4);
  put_int(packed + HEADER + 4, length);
  memcpy(packed + HEADER + 8, data, n);
  memcpy(packed + HEADER + 8 + n, empty, length - n);
  mynah_status status = blosc_decompress_ctx(packed, out, due, 1) == (int)due ? MYNAH_OK : damaged(path, n);
  mynah_free(packed);
  return status;
}

/* Snappy's raw format: a length, then literals and copies of what came before (format_description.txt). */
static mynah_status unsnappy_chunk(const char *path, const uint8_t *data, size_t n, uint8_t *out, size_t due) {
  size_t at = 0, done = 0, total = 0;
  for (int shift = 0; at < n && shift < 35; shift += 7) {
    total |= (size_t)(data[at] & 127) << shift;
    if (data[at++] < 128) break;
  }
  if (total != due) return damaged(path, n);
  while (at < n) {
    size_t tag = data[at++], kind = tag & 3, length = (tag >> 2) + 1, offset = 0, extra = kind == 0 ? (length > 60 ? length - 60 : 0) : kind == 3 ? 4 : kind;
    if (extra > n - at) return damaged(path, n);
    for (size_t i = 0; i < extra; i++) offset |= (size_t)data[at + i] << 8 * i;
    at += extra;
    if (kind == 0) {
      if (extra > 0) length = offset + 1;
      if (length > n - at || length > due - done) return damaged(path, n);
      memcpy(out + done, data + at, length);
      at += length;
    } else {
      if (kind == 1) offset |= (tag >> 5) << 8, length = (tag >> 2 & 7) + 4;
      if (offset == 0 || offset > done || length > due - done) return damaged(path, n);
      for (size_t i = 0; i < length; i++) out[done + i] = out[done + i - offset];
    }
    done += length;
  }
  return done == due ? MYNAH_OK : damaged(path, n);
}

const mynah__unpacker mynah__unpackers[] = {{"", copy_chunk},
                                            {"blosc", unblosc_chunk},
                                            {"gzip", inflate_chunk},
                                            {"snappy", unsnappy_chunk},
                                            {"zlib", inflate_chunk},
                                            {"zstd", unzstd_chunk}};
const int mynah__n_unpackers = sizeof mynah__unpackers / sizeof *mynah__unpackers;
