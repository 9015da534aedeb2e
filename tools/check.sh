#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `make check`: everything built twice and tested twice: by gcc, warnings as errors, and by clang under ASan and UBSan.
# The last line tells what happened: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

# configure NAME COMPILER OPTION...: once; later calls only build what changed
build() {
  local folder=$1 compiler=$2
  shift 2
  if [ ! -f "$folder/build.ninja" ]; then
    rm -rf "$folder"
    CC=$compiler meson setup "$folder" -Dwerror=true "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; rm -f "$folder.log"; return 1; }
    rm -f "$folder.log"
  fi
  ninja -C "$folder"
}

run() {
  rm -f "$1/meson-logs/testlog.json"
  meson test -C "$1" --no-rebuild --print-errorlogs --no-suite bench "${@:2}"
}

for kind in check asan; do
  if [ $kind = check ]; then
    build build-check gcc --buildtype=release && run build-check || status=1
  else
    # LeakSanitizer needs ptrace, which some containers forbid; the tests count leaks themselves
    export ASAN_OPTIONS=detect_leaks=${MYNAH_LEAKS:-0}:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    build build-asan clang --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false &&
      run build-asan --timeout-multiplier 5 || status=1
  fi
done
python3 tools/count_results.py build-check build-asan || status=1
exit $status
