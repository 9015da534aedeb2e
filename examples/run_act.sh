#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs example_act with a policy made on the spot: record, train for a moment, act.
# usage: run_act.sh MYNAH EXAMPLE_ACT
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" record sim=track episodes=2 cameras=3 limit=5 out="$folder/d.demos" --quiet
"$1" train mlp preset=track data="$folder/d.demos" out="$folder/run" steps=3 valid.share=0.5 --quiet
"$2" "$folder/run/policy.safetensors" track 7
