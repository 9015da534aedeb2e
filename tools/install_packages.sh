#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Installs the Debian packages of tools/packages.txt that are missing: as root, or through sudo.
# usage: install_packages.sh build|check
set -eu
list=$(dirname "$0")/packages.txt
wanted=$(awk -v all="$1" '!/^#/ && NF == 2 && ($2 == "build" || $2 == all) { print $1 }' "$list")
if ! command -v dpkg-query >/dev/null; then
  echo "Not a Debian system: these packages, or what they are called here, are needed:" $wanted >&2
  exit 0
fi
missing=
for package in $wanted; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null; then
  as_root=sudo
else
  echo "Missing packages:$missing. Install them as root: apt-get install$missing" >&2
  exit 1
fi
echo "Installing:$missing"
$as_root apt-get update -q
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
