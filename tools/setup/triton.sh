#!/usr/bin/env bash
# Unpacks NVIDIA's Triton for processors into the cache, checked against its lock, with the Python backend's stub for Debian's Python.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.triton.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  local server=$work/new/pytriton/tritonserver
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/triton.txt"
  "$PYTHON" -m zipfile -e "$work"/*.whl "$work/new"
  cp "$server/python_backend_stubs/3.11/triton_python_backend_stub" "$server/backends/python/"
  chmod +x "$server/bin/tritonserver" "$server/backends/python/triton_python_backend_stub"
  rm -r "$server/python_backend_stubs"
}

quietly "Triton (55 MB)" fetch
replace "$work/new" "$SKERRY_CACHE/triton"
