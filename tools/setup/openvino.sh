#!/usr/bin/env bash
# Unpacks OpenVINO into the cache, checked against its lock:
#   openvino/lib/       the libraries that the runtime's component carries: its C API, the CPU, ONNX, IR and TensorFlow Lite
#   openvino/python/    the vendor's Python package around them, for tests
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The rest is for other devices and formats.
LIBRARIES=(libopenvino_c.so libopenvino.so libtbb.so.12 libopenvino_intel_cpu_plugin.so libopenvino_onnx_frontend.so
  libopenvino_ir_frontend.so libopenvino_tensorflow_lite_frontend.so)

work=$(mktemp -d "$SKERRY_CACHE/.openvino.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {
  local library found
  "$PYTHON" -m pip download --quiet --require-hashes --no-deps --only-binary :all: \
    --dest "$work" -r "$LOCKS/openvino.txt"
  mkdir -p "$work/new/lib"
  "$PYTHON" -m zipfile -e "$work"/*.whl "$work/new/python"
  for library in "${LIBRARIES[@]}"; do
    # Versions stand behind the name: the loader looks for libopenvino.so.2641 itself.
    for found in "$work/new/python/openvino/libs/$library"*; do
      [[ -e $found ]] || die "the wheel has no $library"
      ln -s "../python/openvino/libs/$(basename "$found")" "$work/new/lib/"
    done
  done
  # The runtime is given one name, whatever the version.
  (cd "$work/new/lib" && ln -s libopenvino_c.so.* libopenvino_c.so)
}

quietly "OpenVINO (59 MB)" fetch
replace "$work/new" "$SKERRY_CACHE/openvino"
