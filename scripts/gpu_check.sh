#!/usr/bin/env bash
# Everything about the CUDA kernels that needs a GPU. NEVER RUN SO FAR: no GPU was at hand. Needs nvcc >= 12.4, a C++ compiler
# and a card from Ampere on; for 4 and 5 also Python with a CUDA build of torch >= 2.11, pybind11, scikit-build-core and pytest
# (PYTHON, default python3). No network.
#
#   scripts/gpu_check.sh [folder]    builds into folder (build/gpu), writes folder/result.txt and folder/bench.json
#
# 1. the primitives on the card and their host twins: the same bytes   2. every kernel's test, the one that ctest runs under
# the shim, against fp64   3. the same under compute-sanitizer's memcheck and racecheck, where it is installed   4. the ops on
# CUDA tensors: random cases against float64 by the error rule, opcheck, torch.compile   5. times against stock eager,
# torch.compile and SDPA's flash and cuDNN backends
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/gpu}
mkdir -p "$out"
exec > >(tee "$out/result.txt") 2>&1
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
nvcc --version | tail -2

arch=-arch=native archs=native primitives=primitives products=gemm
if [[ $(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1) == 9.0 ]]; then # native would be 90, without wgmma
  arch="-gencode=arch=compute_90a,code=sm_90a" archs="80;90a" primitives+=" sm90_primitives" products+=" sm90_gemm sm90_attention sm90_attention_backward"
fi
build() { nvcc -x cu -std=c++17 -O2 "$arch" -Icsrc "csrc/tests/cuda/$1_test.cpp" -o "$out/$1"; }
subjects="$primitives $products activation norm cross_entropy attention"
for subject in $subjects; do build "$subject" & done
for job in $(jobs -p); do wait "$job"; done
for each in $primitives; do
  "${CXX:-c++}" -std=c++17 -O1 -Icsrc "csrc/tests/cuda/${each}_test.cpp" csrc/cuda/shim/*.cpp -o "$out/${each}_twin"
done

failed=0
check() { echo "== $*"; "$@" || { echo "FAILED: $*"; failed=1; }; }
for each in $primitives; do
  check "$out/$each" "$out/$each.gpu.bin"
  check "$out/${each}_twin" "$out/$each.twin.bin"
  check cmp "$out/$each.gpu.bin" "$out/$each.twin.bin"
done
for subject in $products activation norm cross_entropy attention; do check "$out/$subject"; done
if command -v compute-sanitizer >/dev/null; then
  for subject in $subjects; do
    for tool in memcheck racecheck; do check compute-sanitizer --tool "$tool" --error-exitcode 1 "$out/$subject"; done
  done
else
  echo "skipped: compute-sanitizer is not here"
fi

python=${PYTHON:-python3}
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  "$python" -m pip install --quiet --no-build-isolation --no-deps --target "$out/site" --upgrade \
    -C cmake.define.LAIMBENCH_CUDA=ON -C cmake.define.LAIMBENCH_CUDA_ARCHS=$archs -C build-dir="$out/cmake" .
  export PYTHONPATH="$PWD/$out/site" LAIMBENCH_TEST_DEVICE=cuda
  here=$PWD
  mkdir -p "$out/run" && cd "$out/run"
  check "$python" -m pytest -q "$here"/tests/ops/test_{against_reference,autograd,cuda}.py -c "$here/pyproject.toml" \
    --rootdir="$here" --import-mode=importlib --noconftest -p no:cacheprovider
  check "$python" -m laimbench bench --suite cuda --device cuda --dtypes bf16 --json ../bench.json
else
  echo "skipped: no torch that sees a GPU"
fi
exit $failed
