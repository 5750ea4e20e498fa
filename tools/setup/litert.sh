#!/usr/bin/env bash
# Unpacks LiteRT into the cache, checked against its lock:
#   litert/lib/libLiteRt.so    the library, which the runtime's component carries
#   litert/python/             the vendor's Python package around it, for tests
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.litert.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/litert.txt"
  mkdir -p "$work/new/lib"
  "$PYTHON" -m zipfile -e "$work"/*.whl "$work/new/python"
  ln -s ../python/ai_edge_litert/libLiteRt.so "$work/new/lib/libLiteRt.so"
}

quietly "LiteRT (22 MB)" fetch
replace "$work/new" "$SKERRY_CACHE/litert"
