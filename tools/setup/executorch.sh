#!/usr/bin/env bash
# Unpacks ExecuTorch's wheel into the cache, checked against its lock: executorch/executorch/{include,lib}, and flatc with the
# schema of programs for the test.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.executorch.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/executorch.txt"
  "$PYTHON" -m zipfile -e "$work"/*.whl "$work/all"
  mkdir -p "$work/new/executorch/data/bin" "$work/new/executorch/exir/_serialize"
  mv "$work/all/executorch/include" "$work/all/executorch/lib" "$work/new/executorch/"
  mv "$work/all/executorch/data/bin/flatc" "$work/new/executorch/data/bin/"
  mv "$work"/all/executorch/exir/_serialize/*.fbs "$work/new/executorch/exir/_serialize/"
  chmod +x "$work/new/executorch/data/bin/flatc"
}

quietly "ExecuTorch (19 MB)" fetch
replace "$work/new" "$SKERRY_CACHE/executorch"
