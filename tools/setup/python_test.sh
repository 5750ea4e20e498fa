#!/usr/bin/env bash
# Adds the stock AWS and inference clients to the cache's virtual environment, for tests and benches.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

quietly "Python test clients (100 MB)" install_in_venv "$LOCKS/python-test.txt"
