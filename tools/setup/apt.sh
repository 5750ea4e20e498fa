#!/usr/bin/env bash
# Installs the Debian packages of the locks that are named (below tools/lock) and are missing or older.
# Prints nothing and needs no root when all are there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LISTS=("${@/#/$LOCKS/}")

# The locks' `name=version` entries that apply to this machine.
locked() {
  local pin word command
  while read -r pin word command; do
    [[ -z $pin || $pin == \#* ]] && continue
    [[ $word == unless ]] && command -v "$command" >/dev/null && continue
    echo "$pin"
  done < <(cat -- "${LISTS[@]}")
}

# Lines of `pin version`: where the mirror no longer had a pin, the version taken instead. Kept, so
# that the next setup does not look for the pin again.
REPLACED=$SKERRY_CACHE/.apt.replaced

# The entries of `locked` not installed at their version or a newer one. One dpkg-query for all,
# because setup runs before every command.
missing() {
  local pins name version pin
  local -A installed=() replaced=()
  mapfile -t pins < <(locked)
  while read -r name version; do installed[$name]=$version; done < <(
    dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' "${pins[@]%%=*}" 2>/dev/null |
      sed -n 's/^ii *//p')
  [[ ! -f $REPLACED ]] || while read -r pin version; do replaced[$pin]=$version; done <"$REPLACED"
  for pin in "${pins[@]}"; do
    name=${pin%%=*} version=${replaced[$pin]:-${pin#*=}}
    [[ ${installed[$name]:-} == "$version" ]] && continue
    [[ -n ${installed[$name]:-} ]] && dpkg --compare-versions "${installed[$name]}" ge "$version" &&
      continue
    echo "$pin"
  done
}

upstream_major() { local v=${1#*:}; echo "${v%%.*}"; }

# Turns each missing pin into what the mirror still offers; says so once for all replacements.
choose_versions() {
  local pin name version candidate changes=""
  for pin in "$@"; do
    name=${pin%%=*} version=${pin#*=}
    if [[ $(apt-cache madison "$name") == *" $version |"* ]]; then
      echo "$pin"
      continue
    fi
    candidate=$(apt-cache policy "$name" | sed -n 's/^ *Candidate: //p')
    [[ -n $candidate && $candidate != "(none)" ]] ||
      die "no package $name in the apt sources; is this Debian 12 with 'main' enabled?"
    [[ $(upstream_major "$candidate") == "$(upstream_major "$version")" ]] ||
      die "the lock wants $pin, the mirror has only $candidate: move the pin in tools/lock"
    changes+=", $name $version → $candidate"
    echo "$pin $candidate" >>"$REPLACED"
    echo "$name=$candidate"
  done
  [[ -z $changes ]] || warn "the mirror has replaced these pinned versions: ${changes#, }"
}

# Packages may start services when they are installed; the tests start their own broker on free
# ports, so nothing may run here on a standard one. policy-rc.d is Debian's switch for that.
install_without_services() {
  local policy=/usr/sbin/policy-rc.d ours=no status=0
  if [[ ! -e $policy ]]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=900 -o Dpkg::Options::=--force-confold "$@" || status=$?
  [[ $ours == no ]] || as_root rm -f "$policy"
  return $status
}

main() {
  local missing chosen mosquitto_is_new=no
  mapfile -t missing < <(missing)
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $(. /etc/os-release && echo "${VERSION_CODENAME:-}") == bookworm ]] ||
    warn "this is not Debian 12 (bookworm); the pinned packages may not exist here"
  quietly "package indexes" refresh_indexes
  chosen=$(choose_versions "${missing[@]}")
  [[ " ${missing[*]}" != *" mosquitto="* ]] || mosquitto_is_new=yes
  # Word splitting is meant: one pin per word.
  # shellcheck disable=SC2086
  quietly "${#missing[@]} Debian packages" install_without_services $chosen
  if [[ $mosquitto_is_new == yes && -d /run/systemd/system ]]; then
    quietly "keep the packaged broker off" as_root systemctl disable --now mosquitto
  fi
}

main
