#!/usr/bin/env bash
# Unpacks Triton's perf_analyzer into the cache, checked against its lock: perf_analyzer/perf_analyzer and perf_analyzer/libcudart.so.12.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.perf_analyzer.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  local wheel
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/perf_analyzer.txt"
  for wheel in "$work"/*.whl; do "$PYTHON" -m zipfile -e "$wheel" "$work/all"; done
  mkdir "$work/new"
  mv "$work"/all/tritonclient-*.data/data/bin/perf_analyzer "$work"/all/nvidia/cuda_runtime/lib/libcudart.so.12 "$work/new/"
  chmod +x "$work/new/perf_analyzer"
}

quietly "perf_analyzer (17 MB)" fetch
replace "$work/new" "$SKERRY_CACHE/perf_analyzer"
