#!/usr/bin/env bash
# Installs Schemathesis into a virtual environment of its own in the cache, from its hash-locked list.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Made in place because a virtual environment holds its own path; the stamp tells a whole one.
make_venv() {
  rm -rf "$SKERRY_CACHE/schemathesis"
  "$PYTHON" -m venv "$SKERRY_CACHE/schemathesis"
  "$SKERRY_CACHE/schemathesis/bin/python" -m pip install --quiet --require-hashes --no-deps --only-binary :all: \
    -r "$LOCKS/schemathesis.txt"
}

quietly "Schemathesis (60 MB)" make_venv
