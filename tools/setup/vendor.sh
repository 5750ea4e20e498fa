#!/usr/bin/env bash
# Unpacks the vendor runtimes and models into the cache, each file checked against its lock:
#   onnxruntime/lib, onnxruntime/include   library from the vendor's wheel, header from Debian
#   silero-vad/                            the Silero voice activity models
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

work=$(mktemp -d "$SKERRY_CACHE/.vendor.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch_wheels() {
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/vendor.txt"
}

unpack_wheels() {
  local wheel
  for wheel in "$work"/*.whl; do
    "$PYTHON" -m zipfile -e "$wheel" "$work/wheels"
  done
}

debian_mirror() {
  apt-get indextargets --format '$(ORIGIN)|$(RELEASE)|$(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian|bookworm|//p' | tail -n 1
}

# The wheel holds no header and Debian 12 has none either, so the header comes from the next
# release of the same mirror, whatever that mirror is here. Nothing of that release is installed.
fetch_header() {
  local package version sha256 suite mirror
  read -r package version suite sha256 < <(grep -v '^#' "$LOCKS/vendor-deb.txt")
  mirror=$(debian_mirror)
  [[ -n $mirror ]] || { refresh_indexes; mirror=$(debian_mirror); }
  [[ -n $mirror ]] || die "no Debian 12 mirror among the apt sources"

  mkdir -p "$work"/apt/{lists,cache}/partial
  printf 'deb [signed-by=%s] %s %s main\n' \
    /usr/share/keyrings/debian-archive-keyring.gpg "$mirror" "$suite" >"$work/apt/sources.list"
  local apt=(apt-get -q -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=-
    -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache"
    -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)")
  "${apt[@]}" update
  (cd "$work" && "${apt[@]}" download "$package=$version")
  check_sha256 "$work/$package"_*.deb "$sha256"
  dpkg-deb -x "$work/$package"_*.deb "$work/deb"
}

install_onnxruntime() {
  local capi=$work/wheels/onnxruntime/capi new=$work/onnxruntime library
  mkdir -p "$new/lib"
  library=$(basename "$capi"/libonnxruntime.so.*)
  cp "$capi/$library" "$new/lib/"
  ln -s "$library" "$new/lib/libonnxruntime.so.1"
  ln -s libonnxruntime.so.1 "$new/lib/libonnxruntime.so"
  cp "$work"/wheels/onnxruntime/{LICENSE,ThirdPartyNotices.txt} "$new/"
  cp -r "$work/deb/usr/include/onnxruntime" "$new/include"
  replace "$new" "$SKERRY_CACHE/onnxruntime"
}

install_silero() {
  local new=$work/silero-vad
  mkdir "$new"
  cp "$work"/wheels/silero_vad/data/*.onnx "$new/"
  cp "$work"/wheels/silero_vad-*.dist-info/licenses/LICENSE "$new/" 2>/dev/null ||
    cp "$work"/wheels/silero_vad-*.dist-info/LICENSE "$new/"
  replace "$new" "$SKERRY_CACHE/silero-vad"
}

quietly "vendor wheels (40 MB)" fetch_wheels
quietly "ONNX Runtime header" fetch_header
unpack_wheels
install_onnxruntime
install_silero
