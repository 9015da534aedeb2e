#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs example_look with the golden detector on a picture recorded on the spot; skipped without ../shared.
# usage: run_look.sh MYNAH EXAMPLE_LOOK
set -e
onnx=${MYNAH_SHARED:-../shared}/goldens/yolo26/yolo26n_640_e2e.onnx
[ -f "$onnx" ] || { echo "skipped: there is no $onnx"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" import-model "$onnx" out="$folder/d.safetensors" --quiet
"$1" selfcheck "$folder/d.safetensors" --quiet
"$1" record sim=follow episodes=1 limit=1 out="$folder/d.demos" --quiet
"$1" detect "$folder/d.safetensors" source="$folder/d.demos" imgsz=160 conf=0.01 max_det=5 out="$folder/seen" save_txt=true --json --quiet > "$folder/found.json"
grep -q '"xyxy"' "$folder/found.json"
picture=$(ls "$folder"/seen/*.jpg | head -1)
"$2" "$folder/d.safetensors" "$picture" || [ $? = 1 ] # the golden weights are a formula's: seeing nothing is no fault
