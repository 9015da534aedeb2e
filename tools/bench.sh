#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `make bench`: our speed beside the peers', in one run. Peers are installed into build/peers; one that cannot be had is
# skipped with a line that says so.
set -u
cd "$(dirname "$0")/.." || exit 1
ninja -C build bench/bench_kernels bench/bench_sim >/dev/null || exit 1
python=build/peers/bin/python
if [ ! -x "$python" ]; then
  python3 -m venv build/peers || { echo "skipped: no Python environment for the peers could be made"; exit 0; }
fi
for package in numpy torch==2.13.0 onnx onnxruntime openvino gym-pusht; do
  "$python" -m pip install -q "$package" >/dev/null 2>&1 || echo "skipped: $package could not be installed"
done
echo "== simulators, one core"
build/bench/bench_sim 3
"$python" bench/peer_pusht.py 3 2>/dev/null || echo "skipped: gym-pusht"
echo "== engine"
"$python" bench/peer_engine.py build/bench/bench_kernels 5 || echo "skipped: PyTorch"
