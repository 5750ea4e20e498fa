#!/usr/bin/env bash
# Makes what the demo and the example application need of Python, from hash-locked lists:
#   wheelhouse/   the example application's packages as files, for a device without a network
#   venv/         the same packages installed; setup for tests adds the stock clients (python_test.sh)
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
  rm -rf "$SKERRY_CACHE/venv" "$SKERRY_CACHE/.python_test.stamp"
  "$PYTHON" -m venv "$SKERRY_CACHE/venv"
  install_in_venv "$LOCKS/python-app.txt" "$LOCKS/python-demo.txt"
}

quietly "application wheels (60 MB)" make_wheelhouse
quietly "Python for the demo (80 MB)" make_venv
