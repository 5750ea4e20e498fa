#!/usr/bin/env bash
# Unpacks a kernel for QEMU into the cache, for the nightly tests of control groups. Nothing is installed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.kernel.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  local package version sha256
  read -r package version sha256 < <(grep -v '^#' "$LOCKS/kernel-deb.txt")
  apt-cache show "$package=$version" >/dev/null 2>&1 || refresh_indexes
  (cd "$work" && apt-get -q -o APT::Sandbox::User="$(id -un)" download "$package=$version")
  check_sha256 "$work/$package"_*.deb "$sha256"
  dpkg-deb -x "$work/$package"_*.deb "$work/deb"
  mkdir "$work/kernel"
  cp "$work"/deb/boot/vmlinuz-* "$work/kernel/vmlinuz"
  replace "$work/kernel" "$SKERRY_CACHE/kernel"
}

quietly "kernel for nightly tests (27 MB)" fetch
