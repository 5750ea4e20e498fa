#!/usr/bin/env bash
# Makes what the tests and the example application need of Python, from hash-locked lists:
#   venv/         stock AWS and inference clients, for the tests, benches and the demo
#   wheelhouse/   the example application's packages as files, for a device without a network
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make_wheelhouse() {
  local new=$SKERRY_CACHE/wheelhouse.new
  rm -rf "$new"
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$new" -r "$LOCKS/python-app.txt"
  replace "$new" "$SKERRY_CACHE/wheelhouse"
}

# Made in place because a virtual environment holds its own path; the stamp tells a whole one.
make_venv() {
  rm -rf "$SKERRY_CACHE/venv"
  "$PYTHON" -m venv "$SKERRY_CACHE/venv"
  "$SKERRY_CACHE/venv/bin/python" -m pip install --quiet --require-hashes --no-deps \
    --only-binary :all: --find-links "$SKERRY_CACHE/wheelhouse" -r "$LOCKS/python-test.txt"
}

quietly "application wheels (60 MB)" make_wheelhouse
quietly "Python test clients (150 MB)" make_venv
