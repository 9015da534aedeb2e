#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `make check`: everything built twice and tested twice: by gcc, warnings as errors, and by clang under ASan and UBSan.
# What threads share also runs under ThreadSanitizer. The last line tells what happened: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
rm -f build-check/meson-logs/testlog.json build-asan/meson-logs/testlog.json build-tsan/meson-logs/testlog.json
status=0
thread_tests="base/thread"

# build FOLDER COMPILER TARGETS OPTION...: configured once; later calls only build what changed ("" is every target)
build() {
  local folder=$1 compiler=$2 targets=$3
  shift 3
  if [ ! -f "$folder/build.ninja" ]; then
    rm -rf "$folder"
    CC=$compiler meson setup "$folder" -Dwerror=true "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; rm -f "$folder.log"; return 1; }
    rm -f "$folder.log"
  fi
  # shellcheck disable=SC2086
  ninja -C "$folder" $targets
}

run() {
  meson test -C "$1" --no-rebuild --print-errorlogs --no-suite bench "${@:2}"
}

build build-check gcc "" --buildtype=release && run build-check || status=1

# LeakSanitizer needs ptrace, which some containers forbid; the tests count leaks themselves.
export ASAN_OPTIONS=detect_leaks=${MYNAH_LEAKS:-0}:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# Kernels of instructions that this processor lacks would be compiled with sanitizers for nothing, which takes minutes.
levels=-Dlevels=avx2
grep -q avx512bw /proc/cpuinfo && levels=$levels,avx512
grep -q avx512_bf16 /proc/cpuinfo && levels=$levels,avx512bf16

build build-asan clang "" --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false "$levels" &&
  run build-asan --timeout-multiplier 5 || status=1

targets=
for name in $thread_tests; do targets="$targets tests/test_${name/\//_}"; done
# shellcheck disable=SC2086
build build-tsan clang "$targets" --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false "$levels" &&
  run build-tsan --timeout-multiplier 5 $thread_tests || status=1

python3 tools/count_results.py build-check build-asan build-tsan || status=1
exit $status
