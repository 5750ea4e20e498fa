#!/usr/bin/env bash
# Installs the stock JavaScript device SDK into the cache, from a lock with integrity hashes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Install scripts stay off: the SDK's native part ships prebuilt in its package.
install_clients() {
  local new=$SKERRY_CACHE/npm.new
  rm -rf "$new"
  mkdir "$new"
  cp "$LOCKS"/npm/{package.json,package-lock.json,.npmrc} "$new/"
  (cd "$new" && npm ci --ignore-scripts --loglevel=error)
  replace "$new" "$SKERRY_CACHE/npm"
}

quietly "JavaScript test clients (50 MB)" install_clients
