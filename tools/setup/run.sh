#!/usr/bin/env bash
# `./dev setup [build|demo|s3|kernel|cross|openvino|pytorch|promtool|schemathesis|triton|executorch|perf_analyzer]`: brings the machine and the cache to what tools/lock says; `build`
# is what building needs, `demo` what showing does, too, without test clients and lint tools; `s3`, `kernel` and `cross` the
# S3 server, the virtual machine, and the compilers for other processors alone, of nightly tests. Every
# step looks before it works, so a second run only compares digests (well under a second).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

STEPS=$ROOT/tools/setup

# part NAME PROOF INPUT…: runs NAME.sh unless its stamp matches its inputs and PROOF exists.
part() {
  local name=$1 proof=$SKERRY_CACHE/$2 wanted
  shift 2
  wanted=$(digest "$STEPS/$name.sh" "$@")
  if is_done "$name" "$wanted" && [[ -e $proof ]]; then
    return 0
  fi
  rm -f "$SKERRY_CACHE/.$name.stamp"
  bash "$STEPS/$name.sh"
  mark_done "$name" "$wanted"
}

# Shared caches and parallel clones: one setup at a time.
lock_cache() {
  mkdir -p "$SKERRY_CACHE"
  exec 9>"$SKERRY_CACHE/.lock"
  flock --nonblock 9 && return 0
  say "another setup is at work on $SKERRY_CACHE; waiting for it"
  flock 9
}

# So that CMake finds the cache when it is run without `dev`.
link_cache() {
  [[ $(readlink "$ROOT/.cache" || true) == "$SKERRY_CACHE" ]] ||
    ln -sfn "$SKERRY_CACHE" "$ROOT/.cache"
}

scope=${1:-all}
[[ $scope =~ ^(all|build|demo|s3|kernel|cross|openvino|pytorch|promtool|schemathesis|triton|executorch|perf_analyzer)$ ]] ||
  die "no setup '$scope'; there are: build, demo, s3, kernel, cross, openvino, pytorch, promtool, schemathesis, triton, executorch, perf_analyzer, all"
[[ $(uname -m) == x86_64 ]] || die "the pinned vendor runtimes are for x86-64, this is $(uname -m)"
lock_cache
if [[ $scope == s3 ]]; then
  part s3 s3/versitygw "$LOCKS"/s3/go.mod "$LOCKS"/s3/go.sum
  exit
fi
if [[ $scope == kernel ]]; then
  bash "$STEPS/apt.sh" apt-kernel.txt
  part kernel kernel/vmlinuz "$LOCKS"/kernel-deb.txt
  exit
fi
if [[ $scope == cross ]]; then
  bash "$STEPS/apt.sh" apt-cross.txt
  exit
fi
if [[ $scope == pytorch || $scope == promtool ]]; then
  bash "$STEPS/apt.sh" "apt-$scope.txt"
  exit
fi
if [[ $scope == schemathesis ]]; then
  part schemathesis schemathesis/bin/schemathesis "$LOCKS"/schemathesis.txt
  exit
fi
if [[ $scope == executorch ]]; then
  part executorch executorch/executorch/lib/libexecutorch.so "$LOCKS"/executorch.txt
  exit
fi
if [[ $scope == perf_analyzer ]]; then
  bash "$STEPS/apt.sh" apt-perf_analyzer.txt
  part perf_analyzer perf_analyzer/perf_analyzer "$LOCKS"/perf_analyzer.txt
  exit
fi
if [[ $scope == triton ]]; then
  part triton triton/pytriton/tritonserver/bin/tritonserver "$LOCKS"/triton.txt
  exit
fi
if [[ $scope == openvino ]]; then
  part openvino openvino/lib/libopenvino_c.so "$LOCKS"/openvino.txt
  exit
fi
if [[ $scope == build || $scope == demo ]]; then
  bash "$STEPS/apt.sh" apt.txt apt-infer.txt
else
  bash "$STEPS/apt.sh" apt.txt apt-infer.txt apt-grpc.txt apt-test.txt
fi
part vendor onnxruntime/lib/libonnxruntime.so "$LOCKS"/vendor.txt "$LOCKS"/vendor-deb.txt
if [[ $scope == build ]]; then
  link_cache
  exit
fi
part python venv/bin/python "$LOCKS"/python-app.txt "$LOCKS"/python-demo.txt
if [[ $scope == all ]]; then
  part litert litert/lib/libLiteRt.so "$LOCKS"/litert.txt
  part dlr dlr/dlr "$LOCKS"/dlr.txt
  part python_test venv/bin/python "$LOCKS"/python-app.txt "$LOCKS"/python-test.txt
  part console console/node_modules "$ROOT"/console/package.json "$ROOT"/console/package-lock.json
  part npm npm/node_modules "$LOCKS"/npm/package.json "$LOCKS"/npm/package-lock.json
fi
link_cache
