# shellcheck shell=bash
# What every setup step shares: messages, the cache's location, stamps, and running a noisy
# command quietly until it fails. Sourced by `dev` and by the steps beside this file.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LOCKS=$ROOT/tools/lock
# Shared by every clone of one user, so that a fresh clone is ready at once.
export SKERRY_CACHE=${SKERRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skerry}
# Debian's own interpreter: device components run on it, and another one that happens to come
# first on PATH would give wheels that do not load there.
PYTHON=/usr/bin/python3

say() { printf '%s\n' "$*" >&2; }
warn() { say "warning: $*"; }
die() { say "error: $*"; exit 1; }

# quietly LABEL COMMAND…: one progress line with the time taken; the output only on failure.
# The subshell keeps `set -e` working inside COMMAND, which it would not as an if's condition.
quietly() {
  local label=$1 log status start=$SECONDS
  shift
  log=$(mktemp)
  printf '  %s … ' "$label" >&2
  set +e
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  if [[ $status == 0 ]]; then
    say "$((SECONDS - start)) s"
  else
    say "failed after $((SECONDS - start)) s:"
    tail -n 40 "$log" >&2
  fi
  rm -f "$log"
  return $status
}

# install_in_venv LOCK…: the packages of hash-locked lists, into the cache's virtual environment.
install_in_venv() {
  "$SKERRY_CACHE/venv/bin/python" -m pip install --quiet --require-hashes --no-deps \
    --only-binary :all: --find-links "$SKERRY_CACHE/wheelhouse" "${@/#/--requirement=}"
}

# npm_packages FOLDER NAME: what FOLDER's lock says, with integrity hashes, into the cache as NAME.
# Install scripts stay off: native parts ship prebuilt in packages of their own.
npm_packages() {
  local new=$SKERRY_CACHE/$2.new
  rm -rf "$new"
  mkdir "$new"
  cp "$1"/{package.json,package-lock.json,.npmrc} "$new/"
  (cd "$new" && npm ci --ignore-scripts --loglevel=error)
  replace "$new" "$SKERRY_CACHE/$2"
}

# digest FILE…: one hash over the contents of all files.
digest() { cat -- "$@" | sha256sum | cut -d' ' -f1; }

# A part of the cache is done when its stamp holds the digest of what it was made from. The
# stamp is written last, so a killed setup starts that part again.
is_done() { [[ -f $SKERRY_CACHE/.$1.stamp && $(<"$SKERRY_CACHE/.$1.stamp") == "$2" ]]; }
mark_done() { printf '%s\n' "$2" >"$SKERRY_CACHE/.$1.stamp"; }

# replace NEW OLD: puts a finished folder in place, so that nobody ever sees half of one.
replace() {
  rm -rf "$2.old"
  [[ ! -e $2 ]] || mv "$2" "$2.old"
  mv "$1" "$2"
  rm -rf "$2.old"
}

# check_sha256 FILE SHA256
check_sha256() {
  local actual
  actual=$(sha256sum "$1" | cut -d' ' -f1)
  [[ $actual == "$2" ]] || die "$(basename "$1") has SHA-256 $actual, the lock says $2; not used"
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root or sudo for: $*"
  fi
}

# Package sources of others may be out of reach; Debian's own are what counts, and a package
# that cannot be found is reported where it is asked for.
refresh_indexes() {
  as_root apt-get update -q -o DPkg::Lock::Timeout=900 || say "some package sources failed"
}
