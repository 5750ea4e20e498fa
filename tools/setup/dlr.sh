#!/usr/bin/env bash
# Puts the stock DLR package and what it imports into a folder of the cache of its own, for tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.dlr.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/dlr.txt"
  local wheel library
  for wheel in "$work"/*.whl; do "$PYTHON" -m zipfile -e "$wheel" "$work/new"; done
  # Where pip would put it depends on the environment; this is one of the places that it looks at.
  library=$(cd "$work/new" && echo dlr-*.data/*/dlr/libdlr.so)
  ln -s "../$library" "$work/new/dlr/libdlr.so"
  # It calls its makers when it is imported, unless told not to.
  echo '{"enable_phone_home": false}' >"$work/new/dlr/counter/ccm_config.json"
}

quietly "DLR (1 MB)" fetch
replace "$work/new" "$SKERRY_CACHE/dlr"
