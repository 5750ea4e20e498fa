#!/usr/bin/env bash
# Installs the stock JavaScript device SDK and the driver of the browser into the cache.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

quietly "JavaScript test clients (60 MB)" npm_packages "$LOCKS/npm" npm
