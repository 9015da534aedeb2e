#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `make bench`: our speed beside the peers', in one run (bench/speed.py says what it takes; BENCH="networks=mlp rounds=5" hands it
# settings). Peers are installed into build/peers unless MYNAH_PEERS names an environment that has them, LeRobot into
# build/peers-lerobot (MYNAH_PEERS_LEROBOT: its Python); one that cannot be had is skipped with a line that says so.
set -u
cd "$(dirname "$0")/.." || exit 1
ninja -C build mynah bench/bench_kernels bench/bench_cold bench/bench_sim >/dev/null || exit 1

# environment FOLDER PACKAGE...: made once
environment() {
  local folder=$1
  shift
  [ -x "$folder/bin/python" ] || python3 -m venv "$folder" || { echo "skipped: no Python environment in $folder could be made"; return; }
  for package in "$@"; do
    "$folder/bin/python" -m pip install -q "$package" >/dev/null 2>&1 || echo "skipped: $package could not be installed"
  done
}

[ -n "${MYNAH_PEERS:-}" ] || environment build/peers numpy torch onnx onnxruntime openvino gym-pusht
[ -n "${MYNAH_PEERS_LEROBOT:-}" ] || environment build/peers-lerobot lerobot
python=${MYNAH_PEERS:-build/peers}/bin/python
echo "== simulators, one core"
taskset -c 0 build/bench/bench_sim 3
taskset -c 0 "$python" bench/peer_pusht.py 3 2>/dev/null || echo "skipped: gym-pusht"
echo "== engine"
# shellcheck disable=SC2086
python3 bench/speed.py ${BENCH:-}
echo "== cost"
python3 bench/cost.py
python3 bench/speed.py report=1
echo "The report: docs/results/speed.md"
