/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ground everything stands on: errors, memory, text, files, time, threads, random numbers, configuration, features.
 *
 * Threads: every function may be called from any thread on different objects; an object is used by one thread at a
 *          time unless its section says otherwise. Error text is thread-local.
 * Owns:    create/destroy make and free heap objects, init/deinit fill and clear the caller's storage, open/close
 *          handle files. Destroy of NULL does nothing. An out-parameter is written only on success and comes last. */
#ifndef MYNAH_BASE_H
#define MYNAH_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MYNAH_VERSION "0.1.0"

#if defined(__GNUC__)
#define MYNAH_API __attribute__((visibility("default")))
#define MYNAH_CHECKED __attribute__((warn_unused_result))
#define MYNAH_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define MYNAH_API
#define MYNAH_CHECKED
#define MYNAH_PRINTF(fmt, first)
#endif
/* Marks a function for the control thread: no allocation, no lock, no file, no socket. */
#define MYNAH_RT

/* ---- status and error text ------------------------------------------------------------------------------------- */

/* One list makes code, name and text of every error. */
#define MYNAH_STATUS_MAP(X)                                                                        \
  X(OK, "done")                                                                                    \
  X(INVALID, "invalid argument")                                                                   \
  X(NOT_FOUND, "not found")                                                                        \
  X(IO, "input or output failed")                                                                  \
  X(CORRUPT, "damaged data")                                                                       \
  X(UNSUPPORTED, "not supported")                                                                  \
  X(NO_MEMORY, "out of memory")                                                                    \
  X(NO_SPACE, "no space left")                                                                     \
  X(MISMATCH, "does not fit together")                                                             \
  X(NONFINITE, "a number is not finite")                                                           \
  X(LIMIT, "over a limit")                                                                         \
  X(BUSY, "in use")                                                                                \
  X(TIMEOUT, "took too long")                                                                      \
  X(INTERRUPTED, "interrupted")                                                                    \
  X(INTERNAL, "internal error")

typedef enum mynah_status {
#define MYNAH_STATUS_ENUM(name, text) MYNAH_##name,
  MYNAH_STATUS_MAP(MYNAH_STATUS_ENUM)
#undef MYNAH_STATUS_ENUM
      MYNAH_STATUS_COUNT
} mynah_status;

MYNAH_API const char *mynah_status_name(mynah_status status); /* "NOT_FOUND" */
MYNAH_API const char *mynah_status_text(mynah_status status); /* "not found" */

/* Sets this thread's error text ("file: what: hint") and returns `status`, so that a failure is one line. */
MYNAH_API mynah_status mynah_fail(mynah_status status, const char *format, ...) MYNAH_PRINTF(2, 3);
/* The same from errno: "PATH: WHAT: strerror"; ENOSPC and EDQUOT give NO_SPACE, ENOENT NOT_FOUND, ENOMEM NO_MEMORY. */
MYNAH_API mynah_status mynah_fail_errno(const char *path, const char *what);
/* Puts "context: " before the present error text and returns `status`. */
MYNAH_API mynah_status mynah_error_context(mynah_status status, const char *format, ...) MYNAH_PRINTF(2, 3);
/* This thread's last error text; "" if none. Valid until the next failure on this thread. */
MYNAH_API const char *mynah_error(void);

#define MYNAH_TRY(call)                                                                            \
  do {                                                                                             \
    mynah_status try_status_ = (call);                                                             \
    if (try_status_ != MYNAH_OK) return try_status_;                                               \
  } while (0)

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* All heap memory of the library comes from here: counted, and failed on demand by tests. Each returns NULL with the
 * error set to NO_MEMORY; sizes that overflow are such a failure. Blocks are 64-byte aligned. */
MYNAH_API void *mynah_alloc(size_t bytes);
MYNAH_API void *mynah_calloc(size_t count, size_t bytes_each); /* zeroed */
MYNAH_API void *mynah_realloc(void *block, size_t count, size_t bytes_each);
MYNAH_API void mynah_free(void *block);
MYNAH_API char *mynah_strdup(const char *text);
/* Of a large block that is not yet written to: the system may back it by huge pages, which are had and found faster. */
MYNAH_API void mynah_memory_huge(void *block, size_t bytes);
/* Gives the pages that lie wholly in this part of a block back to the system. The part stays the block's; what it holds is
 * undefined until it is written again. */
MYNAH_API void mynah_memory_release(void *part, size_t bytes);

typedef struct mynah_alloc_stats {
  int64_t n_calls;    /* allocations since the program began */
  int64_t live_blocks;
  int64_t live_bytes;
  int64_t peak_bytes;
} mynah_alloc_stats;
MYNAH_API mynah_alloc_stats mynah_alloc_count(void);
/* Test hooks. fail_at: the n-th allocation from now on (1 = the next), and all after it, fail; 0 turns it off.
 * trap: while set on this thread every allocation fails and is counted in the return value of the next call. */
MYNAH_API void mynah_alloc_fail_at(int64_t n);
MYNAH_API int64_t mynah_alloc_trap(bool is_on);

/* Makes room for `need` elements in a growable array: MYNAH_TRY(mynah_grow((void **)&a, &cap, n + 1, sizeof *a)). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_grow(void **data, size_t *capacity, size_t need, size_t bytes_each);

/* False when a*b overflows; otherwise writes the product. */
static inline bool mynah_mul_size(size_t a, size_t b, size_t *product) { return !__builtin_mul_overflow(a, b, product); }

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* A growable text with a ceiling. The first failure sticks (is_failed) and later appends do nothing, so that it is
 * checked once at the end. {0} is an empty text with the default ceiling of 64 MiB. */
typedef struct mynah_str {
  char *data; /* NUL-terminated once anything was appended; may be NULL when empty */
  size_t length, capacity, max;
  bool is_failed;
} mynah_str;
MYNAH_API void mynah_str_append(mynah_str *s, const void *bytes, size_t n);
MYNAH_API void mynah_str_printf(mynah_str *s, const char *format, ...) MYNAH_PRINTF(2, 3);
MYNAH_API const char *mynah_str_text(const mynah_str *s); /* never NULL */
MYNAH_API void mynah_str_deinit(mynah_str *s);
/* Bytes as text and back (RFC 4648, section 4), appended. Fails: CORRUPT, NO_MEMORY. */
MYNAH_API void mynah_base64_encode(const void *bytes, size_t n, mynah_str *out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_base64_decode(const char *text, mynah_str *out);

/* Copies with truncation refused: INVALID if `text` does not fit `size` bytes. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_copy_text(char *out, size_t size, const char *text);
/* The candidate nearest to `word` by edit distance, or NULL when none is near. */
MYNAH_API const char *mynah_nearest(const char *word, const char *const *candidates, size_t n);

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

/* A JSON value, reference-counted by its container: set/append steal the child, even on failure; get borrows. Every
 * setter accepts NULL values and containers (an earlier allocation failed) and keeps quiet: check once at the end
 * with mynah_json_dump, which fails on NULL. */
typedef struct mynah_json mynah_json;
/* Fails: CORRUPT with line and column; LIMIT beyond 64 MiB or a depth of 64. Duplicate keys are refused. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_json_parse(const char *text, size_t length, mynah_json **out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_json_load(const char *path, mynah_json **out);
MYNAH_API void mynah_json_destroy(mynah_json *j);
MYNAH_API mynah_json *mynah_json_copy(const mynah_json *j); /* deep */
/* Appends compact (indent 0) or indented text; numbers with as few digits as read back the same, object keys in
 * insertion order. A non-finite number is written as null. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_json_dump(const mynah_json *j, int indent, mynah_str *out);
MYNAH_API mynah_json *mynah_json_object(void);
MYNAH_API mynah_json *mynah_json_array(void);
MYNAH_API mynah_json *mynah_json_number(double v);
MYNAH_API mynah_json *mynah_json_integer(int64_t v);
MYNAH_API mynah_json *mynah_json_bool(bool v);
MYNAH_API mynah_json *mynah_json_string(const char *v); /* invalid UTF-8 is replaced */
MYNAH_API mynah_json *mynah_json_null(void);
MYNAH_API mynah_json *mynah_json_numbers(const double *v, size_t n);
MYNAH_API mynah_json *mynah_json_floats(const float *v, size_t n);
MYNAH_API void mynah_json_set(mynah_json *object, const char *key, mynah_json *value);
MYNAH_API void mynah_json_append(mynah_json *array, mynah_json *value);
MYNAH_API const mynah_json *mynah_json_get(const mynah_json *object, const char *key); /* NULL: absent */
MYNAH_API const mynah_json *mynah_json_at(const mynah_json *array, size_t i);
MYNAH_API size_t mynah_json_size(const mynah_json *array_or_object);
/* Walks an object in order: key and value of entry i, false past the end. */
MYNAH_API bool mynah_json_entry(const mynah_json *object, size_t i, const char **key, const mynah_json **value);
MYNAH_API bool mynah_json_is_object(const mynah_json *j);
MYNAH_API bool mynah_json_is_array(const mynah_json *j);
MYNAH_API bool mynah_json_is_string(const mynah_json *j);
MYNAH_API bool mynah_json_is_number(const mynah_json *j);
MYNAH_API bool mynah_json_is_bool(const mynah_json *j);
/* The value, or the fallback when absent or of another type. */
MYNAH_API double mynah_json_to_number(const mynah_json *j, double fallback);
MYNAH_API int64_t mynah_json_to_integer(const mynah_json *j, int64_t fallback);
MYNAH_API bool mynah_json_to_bool(const mynah_json *j, bool fallback);
MYNAH_API const char *mynah_json_to_string(const mynah_json *j, const char *fallback);

/* ---- files ----------------------------------------------------------------------------------------------------- */

#define MYNAH_PATH_MAX 1024
/* Fails: LIMIT when the file is larger than max_bytes. The text gets a NUL after its end (not counted). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_file_read(const char *path, size_t max_bytes, char **data, size_t *length);
/* Written to a temporary beside it, synced, renamed, directory synced: the old file or the new one, never half. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_file_write(const char *path, const void *data, size_t length);
MYNAH_API bool mynah_file_exists(const char *path);
MYNAH_API MYNAH_CHECKED mynah_status mynah_file_size(const char *path, int64_t *bytes);
MYNAH_API MYNAH_CHECKED mynah_status mynah_file_remove(const char *path); /* a missing file is no error */
MYNAH_API MYNAH_CHECKED mynah_status mynah_make_dirs(const char *path);   /* as mkdir -p */
MYNAH_API MYNAH_CHECKED mynah_status mynah_remove_tree(const char *path); /* as rm -rf, never follows links */
MYNAH_API MYNAH_CHECKED mynah_status mynah_path_join(char *out, size_t size, const char *dir, const char *name);
/* True when `name`, used below a folder, cannot leave it: relative, no "..", no NUL, no backslash. */
MYNAH_API bool mynah_path_is_inside(const char *name);
/* From now on what this thread reads below `folder` must lie there: a path that a link leads out is refused (INVALID), and so
 * is what is no plain file. For folders from elsewhere. NULL: no longer. Returns what was set before, to be set again; the
 * text must stay. */
MYNAH_API const char *mynah_confine(const char *folder);
/* For readers that want a descriptor, under the same rule. Owns: *fd is the caller's. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_file_open(const char *path, int *fd);
/* Names in a folder, sorted bytewise, without "." and "..": free with mynah_names_free. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_list_dir(const char *path, char ***names, size_t *n);
MYNAH_API void mynah_names_free(char **names, size_t n);

/* A whole file mapped read-only; an empty file maps to data NULL, size 0. */
typedef struct mynah_map {
  const void *data;
  size_t size;
} mynah_map;
MYNAH_API MYNAH_CHECKED mynah_status mynah_map_open(const char *path, mynah_map *map);
MYNAH_API void mynah_map_close(mynah_map *map);

/* A file of which parts are read. Unlike a map's, its reader gets an error, and no signal, when the file is cut meanwhile. */
typedef struct mynah_reader {
  int fd;
  size_t size; /* when it was opened */
} mynah_reader;
MYNAH_API MYNAH_CHECKED mynah_status mynah_reader_open(const char *path, mynah_reader *reader);
/* Thread: any. Fails: CORRUPT (the file ends before), IO. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_reader_read(const mynah_reader *reader, size_t offset, void *out, size_t bytes);
MYNAH_API void mynah_reader_close(mynah_reader *reader);

/* CRC-32C (Castagnoli), as in RFC 3720; start with 0, chain by passing the last result. */
MYNAH_API uint32_t mynah_crc32c(uint32_t crc, const void *data, size_t length);

typedef struct mynah_sha256 {
  uint32_t h[8];
  uint64_t n_bytes;
  uint8_t block[64];
} mynah_sha256;
MYNAH_API void mynah_sha256_init(mynah_sha256 *s);
MYNAH_API void mynah_sha256_update(mynah_sha256 *s, const void *data, size_t length);
MYNAH_API void mynah_sha256_final(mynah_sha256 *s, char hex[65]);
MYNAH_API MYNAH_CHECKED mynah_status mynah_sha256_file(const char *path, char hex[65]);

/* ---- time and threads ------------------------------------------------------------------------------------------ */

MYNAH_API MYNAH_RT int64_t mynah_now_ns(void);               /* monotonic */
MYNAH_API MYNAH_RT void mynah_sleep_until_ns(int64_t time_ns); /* absolute, monotonic; an interrupt ends it */
MYNAH_API int mynah_cpu_count(void);                         /* processors this process may use */

/* This thread's results too small for a normal number become 0, until restored with the value this returns: arithmetic
 * on denormal numbers is ten times slower. Where the processor has no such mode (neither x86 nor aarch64): no effect. */
MYNAH_API MYNAH_RT uint64_t mynah_flush_denormals(void);
MYNAH_API MYNAH_RT void mynah_restore_denormals(uint64_t before);

/* A fixed set of threads that run numbered tasks. n_threads includes the caller, so 1 makes no thread at all.
 * Threads: one run at a time; run returns when all tasks are done. Tasks must not depend on which thread runs them;
 *          `worker` (0 … n_threads-1, 0 = the caller) is for per-thread scratch only. */
typedef struct mynah_pool mynah_pool;
typedef void (*mynah_task_fn)(void *context, int task, int worker);
MYNAH_API MYNAH_CHECKED mynah_status mynah_pool_create(int n_threads, mynah_pool **out);
MYNAH_API void mynah_pool_destroy(mynah_pool *pool);
MYNAH_API int mynah_pool_size(const mynah_pool *pool);
MYNAH_API void mynah_pool_run(mynah_pool *pool, int n_tasks, mynah_task_fn fn, void *context);

/* Single-producer single-consumer ring of fixed-size items, lock-free. The producer calls reserve/publish, the
 * consumer front/release; both return NULL when full or empty. */
typedef struct mynah_ring mynah_ring;
MYNAH_API MYNAH_CHECKED mynah_status mynah_ring_create(size_t n_items, size_t item_bytes, mynah_ring **out);
MYNAH_API void mynah_ring_destroy(mynah_ring *ring);
MYNAH_API MYNAH_RT void *mynah_ring_reserve(mynah_ring *ring);
MYNAH_API MYNAH_RT void mynah_ring_publish(mynah_ring *ring);
MYNAH_API MYNAH_RT void *mynah_ring_front(mynah_ring *ring);
MYNAH_API MYNAH_RT void mynah_ring_release(mynah_ring *ring);
MYNAH_API MYNAH_RT size_t mynah_ring_used(const mynah_ring *ring);

/* Set by the program's signal handler; long work asks it between pieces and returns INTERRUPTED. */
MYNAH_API void mynah_interrupt(void); /* async-signal-safe */
MYNAH_API MYNAH_RT bool mynah_is_interrupted(void);

/* ---- random numbers -------------------------------------------------------------------------------------------- */

/* Counter-based Philox4x32-10 (Salmon et al. 2011): a value depends on (seed, stream, position) alone, so any thread
 * may draw any part of a stream. */
typedef struct mynah_rng {
  uint64_t seed, stream, position; /* position counts 32-bit draws; set it to jump */
} mynah_rng;
MYNAH_API MYNAH_RT mynah_rng mynah_rng_make(uint64_t seed, uint64_t stream);
MYNAH_API MYNAH_RT uint32_t mynah_rng_u32(mynah_rng *r);
MYNAH_API MYNAH_RT uint64_t mynah_rng_u64(mynah_rng *r);
MYNAH_API MYNAH_RT void mynah_rng_fill_u32(mynah_rng *r, uint32_t *out, size_t n); /* n calls of u32, four at a time */
MYNAH_API MYNAH_RT double mynah_rng_uniform(mynah_rng *r); /* [0,1), 53 bits */
MYNAH_API MYNAH_RT double mynah_rng_range(mynah_rng *r, double low, double high);
MYNAH_API MYNAH_RT uint64_t mynah_rng_below(mynah_rng *r, uint64_t n); /* unbiased, n > 0 */
MYNAH_API MYNAH_RT double mynah_rng_normal(mynah_rng *r);              /* Box-Muller, two draws a value pair */
/* The same n values as n calls of mynah_rng_normal, many times faster; the same on every machine. */
MYNAH_API MYNAH_RT void mynah_rng_fill_normal(mynah_rng *r, float *out, size_t n);
/* The i-th element (i < n) of a seeded permutation of 0 … n-1, without storing it (Feistel network with cycle walk). */
MYNAH_API MYNAH_RT uint64_t mynah_rng_permute(uint64_t i, uint64_t n, uint64_t seed);

/* ---- log ------------------------------------------------------------------------------------------------------- */

typedef enum mynah_log_level { MYNAH_LOG_DEBUG, MYNAH_LOG_INFO, MYNAH_LOG_WARNING, MYNAH_LOG_ERROR } mynah_log_level;
typedef void (*mynah_log_fn)(void *context, mynah_log_level level, const char *text);
/* The library prints nothing itself: text goes to this function (none set: dropped). Set before other threads run. */
MYNAH_API void mynah_log_set(mynah_log_fn fn, void *context);
MYNAH_API void mynah_log(mynah_log_level level, const char *format, ...) MYNAH_PRINTF(2, 3);

/* Progress of long work: told at most a few times a second; `done` and `total` in `unit`s. NULL functions are fine. */
typedef struct mynah_progress {
  void (*fn)(void *context, const char *what, double done, double total, const char *unit, const char *extra);
  void *context;
} mynah_progress;
MYNAH_API void mynah_progress_tell(const mynah_progress *p, const char *what, double done, double total,
                                   const char *unit, const char *extra);

/* ---- configuration --------------------------------------------------------------------------------------------- */

/* One table a config makes the struct, the defaults, JSON, key=value parsing and --help. A table is an X-macro
 *   #define FOO_KEYS(K) K(INT, n_obs, "n_obs", 1, 1, 64, "frames", "frames of history") …
 * with K(type, field, "public.name", default, min, max, "unit", "help"); for STRING and CHOICE `default` is a text and
 * min, max are 0; for CHOICE `unit` is the list "a|b|c" and the field holds the index. */
#define MYNAH_TEXT_MAX 256
typedef enum mynah_key_type {
  MYNAH_KEY_BOOL,   /* bool */
  MYNAH_KEY_INT,    /* int64_t */
  MYNAH_KEY_FLOAT,  /* double */
  MYNAH_KEY_STRING, /* char[MYNAH_TEXT_MAX] */
  MYNAH_KEY_CHOICE  /* int64_t index into "a|b|c" */
} mynah_key_type;
#define MYNAH_FIELD_BOOL(field) bool field;
#define MYNAH_FIELD_INT(field) int64_t field;
#define MYNAH_FIELD_FLOAT(field) double field;
#define MYNAH_FIELD_STRING(field) char field[MYNAH_TEXT_MAX];
#define MYNAH_FIELD_CHOICE(field) int64_t field;
#define MYNAH_DEFAULT_BOOL(value) #value
#define MYNAH_DEFAULT_INT(value) #value
#define MYNAH_DEFAULT_FLOAT(value) #value
#define MYNAH_DEFAULT_STRING(value) value
#define MYNAH_DEFAULT_CHOICE(value) value
/* Inside struct { … }: MYNAH_CONFIG_FIELDS(FOO_KEYS) */
#define MYNAH_FIELD_ROW(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
/* In the key array: FOO_KEYS(MYNAH_KEY_ROW) with #define MYNAH_KEY_STRUCT the struct's name. */
typedef struct mynah_key {
  const char *name;
  mynah_key_type type;
  size_t offset;
  const char *default_text;
  double min, max;
  const char *unit; /* or choices */
  const char *help;
} mynah_key;
#define MYNAH_KEY_OF(owner, type, field, name, value, low, high, unit, help)                       \
  {name, MYNAH_KEY_##type, offsetof(owner, field), MYNAH_DEFAULT_##type(value), low, high, unit, help},
typedef struct mynah_config_table {
  const char *name; /* "mlp policy" */
  const mynah_key *keys;
  size_t n_keys;
  size_t bytes; /* sizeof the struct */
} mynah_config_table;
/* Several tables taken together, e.g. trainer + feed + policy; a key name is unique among them. */
typedef struct mynah_config_bind {
  const mynah_config_table *table;
  void *config;
} mynah_config_bind;
MYNAH_API void mynah_config_default(const mynah_config_table *table, void *config);
/* Fails: INVALID for an unknown key (names the nearest), a value that does not parse, or one out of range. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_config_set(const mynah_config_bind *binds, size_t n, const char *key,
                                                      const char *value);
/* Sets every key of a JSON object; nested objects are joined with dots. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_config_from_json(const mynah_config_bind *binds, size_t n,
                                                            const mynah_json *object);
MYNAH_API void mynah_config_to_json(const mynah_config_table *table, const void *config, mynah_json *object);
/* The text of one value, e.g. "0.001" or "gmm". */
MYNAH_API void mynah_config_value(const mynah_key *key, const void *config, mynah_str *out);
MYNAH_API void mynah_config_help(const mynah_config_table *table, mynah_str *out);
/* "256,256" -> {256,256}. Fails: INVALID for text that is no list of positive integers or has more than max. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_parse_ints(const char *text, int64_t *out, size_t max, size_t *n);

/* ---- features -------------------------------------------------------------------------------------------------- */

typedef enum mynah_dtype {
  MYNAH_F32,
  MYNAH_F64,
  MYNAH_I64,
  MYNAH_I32,
  MYNAH_U8,
  MYNAH_BOOL,
  MYNAH_BF16,
  MYNAH_DTYPE_COUNT
} mynah_dtype;
MYNAH_API size_t mynah_dtype_bytes(mynah_dtype dtype);
MYNAH_API const char *mynah_dtype_name(mynah_dtype dtype); /* "float32" … as in NumPy */
MYNAH_API bool mynah_dtype_parse(const char *name, mynah_dtype *out);

#define MYNAH_NAME_MAX 96
#define MYNAH_MAX_DIMS 6
#define MYNAH_MIRROR_MAX 32
/* A named, typed, shaped value of a frame, named as in LeRobot: observation.state, observation.images.front, action. */
typedef struct mynah_feature {
  char name[MYNAH_NAME_MAX];
  mynah_dtype dtype;
  int n_dims; /* 1 for vectors, 3 (H,W,C) for images */
  int64_t dims[MYNAH_MAX_DIMS];
  bool is_image;        /* 8-bit RGB (H,W,3) */
  uint64_t angle_mask;  /* bit i: element i is an angle in rad (policies take its cosine and sine) */
  /* A mirrored world is another legal world of this task: pictures are flipped left-right; element i of a vector is
   * element |mirror_from[i]| - 1, with the sign of mirror_from[i], plus mirror_offset[i] (mirror_from 0: as it is). */
  bool is_mirrorable;
  int8_t mirror_from[MYNAH_MIRROR_MAX];
  float mirror_offset[MYNAH_MIRROR_MAX];
  char unit[32];        /* "px", "rad", "m/s"; "" if mixed: then names says */
  char names[512];      /* comma-separated element names, or "" */
} mynah_feature;
MYNAH_API int64_t mynah_feature_size(const mynah_feature *f);  /* elements */
MYNAH_API size_t mynah_feature_bytes(const mynah_feature *f);
MYNAH_API mynah_feature mynah_feature_vector(const char *name, int64_t n, const char *names, const char *unit);
MYNAH_API mynah_feature mynah_feature_image(const char *name, int64_t height, int64_t width);
/* Objects in the pictures of a camera: (n,5), a row each of class, centre x, y, width, height in shares of the picture; class -1: no object.
 * camera: "observation.images.front" -> "boxes.front". What the classes are called is the dataset's note "classes". */
MYNAH_API mynah_feature mynah_feature_boxes(const char *camera, int64_t n);
/* Declares a vector mirrorable. Shape: from, offset (size), at most MYNAH_MIRROR_MAX; offset NULL: zeros */
MYNAH_API void mynah_feature_mirror(mynah_feature *f, const int *from, const float *offset);
/* In place. Shape: x (size) */
MYNAH_API MYNAH_RT void mynah_feature_apply_mirror(const mynah_feature *f, float *x);
MYNAH_API MYNAH_CHECKED mynah_status mynah_feature_check(const mynah_feature *f);
MYNAH_API int mynah_feature_find(const mynah_feature *features, int n, const char *name); /* -1: none */
MYNAH_API mynah_json *mynah_feature_to_json(const mynah_feature *f);
MYNAH_API MYNAH_CHECKED mynah_status mynah_feature_from_json(const char *name, const mynah_json *j, mynah_feature *out);

/* ---- images ---------------------------------------------------------------------------------------------------- */

/* 8-bit RGB (height, width, 3), rows without padding. */
typedef struct mynah_image {
  uint8_t *data;
  int width, height;
} mynah_image;
#define MYNAH_IMAGE_MAX_SIDE 16384
/* JPEG and PNG by content; grey, palette, alpha and CMYK become RGB. min_width, min_height > 0 allow a JPEG to be
 * decoded at 1/2, 1/4 or 1/8 as long as it stays at least that large.
 * Fails: CORRUPT, LIMIT (a side over MYNAH_IMAGE_MAX_SIDE, or over 2^28 bytes), UNSUPPORTED. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_image_decode(const void *data, size_t length, int min_width, int min_height,
                                                        mynah_image *out);
/* A JPEG into the caller's pixels, without memory of ours. Fails: CORRUPT, MISMATCH (another size, CMYK), LIMIT; the pixels are then anything. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_jpeg_decode_into(const void *data, size_t length, mynah_image *image);
MYNAH_API MYNAH_CHECKED mynah_status mynah_image_load(const char *path, mynah_image *out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_jpeg_encode(const mynah_image *image, int quality, mynah_str *out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_png_encode(const mynah_image *image, mynah_str *out);
MYNAH_API void mynah_image_deinit(mynah_image *image);
/* The part (x,y,w,h) of `in` brought to out->width × out->height by area averaging when shrinking and bilinear
 * (half-pixel centres) when growing; out->data is the caller's. No allocation. Unit: px. */
MYNAH_API MYNAH_RT void mynah_image_resample(const mynah_image *in, int x, int y, int w, int h, mynah_image *out);

#ifdef __cplusplus
}
#endif
#endif
