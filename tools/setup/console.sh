#!/usr/bin/env bash
# Installs what the console is built from into the cache.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

quietly "packages of the console (40 MB)" npm_packages "$ROOT/console" console
