#!/usr/bin/env bash
# Installs what the console is built from into the cache, from its lock with integrity hashes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Install scripts stay off: the bundler's native parts ship prebuilt in packages of their own.
install_packages() {
  local new=$SKERRY_CACHE/console.new
  rm -rf "$new"
  mkdir "$new"
  cp "$ROOT"/console/{package.json,package-lock.json,.npmrc} "$new/"
  (cd "$new" && npm ci --ignore-scripts --loglevel=error)
  replace "$new" "$SKERRY_CACHE/console"
}

quietly "packages of the console (40 MB)" install_packages
