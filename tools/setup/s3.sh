#!/usr/bin/env bash
# Builds an S3 server that is not ours (versitygw) for the nightly tests, every module of it by the hashes of
# tools/lock/s3. Needs Go, which nothing else here does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build() {
  local new=$SKERRY_CACHE/s3.new
  rm -rf "$new"
  mkdir "$new"
  cp "$LOCKS"/s3/go.{mod,sum} "$new/"
  (cd "$new" && GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0 GOCACHE="$new/cache" \
    go build -p "${SKERRY_JOBS:-2}" -trimpath -o versitygw github.com/versity/versitygw/cmd/versitygw)
  rm -rf "$new/cache"
  replace "$new" "$SKERRY_CACHE/s3"
}

command -v go >/dev/null || die "the S3 server of the nightly tests is built with Go 1.25 or newer: install it, or do without"
quietly "S3 server for nightly tests (some minutes)" build
