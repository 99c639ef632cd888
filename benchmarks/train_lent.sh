#!/usr/bin/env bash
# benchmarks/train.py on a GPU machine lent by the minute. Run in the repository's root there, with .whl carried:
#
#     bash benchmarks/train_lent.sh beside     compile for the first time and all memory rows, side by side (about 4 min)
#     bash benchmarks/train_lent.sh alone      speed, parity, first step, from cold (about 5 min)
#     bash benchmarks/train_lent.sh all        both (about 9 min: not where a command may take 10; then beside and alone)
#     bash benchmarks/train_lent.sh gpus       2 (and 4) GPUs, on a machine that has them (about 3 min)
#     bash benchmarks/train_lent.sh rows NAME...   (python -m benchmarks.train --list names them)
#     bash benchmarks/train_lent.sh profile unet lora   where a step goes, kernel by kernel (1 min)
#     bash benchmarks/train_lent.sh tests      the tests that need a card; pytest and pytest-timeout are in .whl (2 min)
#   and on any machine, before it costs anything:
#     bash benchmarks/train_lent.sh rehearse   every row a moment, tiny sizes, CPU
#
# The 8-bit state needs bitsandbytes, carried in .whl8 by a later call (both may be too large for one); only CUDA 13.0's
# library of it is used there, 4 of 43 MB:
#     pip download --no-deps -d .whl8 bitsandbytes
#     zip -d .whl8/bitsandbytes-*.whl '*_xpu*' '*_rocm*' '*_cuda11*' '*_cuda12*' '*_cuda132*'
#
# As long as the machine stays warm, a later call finds the base model and the compiler's cache (HOME_DIR).
# Each row is in $OUT/train-*.json (.md) as soon as it is measured; put those files into benchmarks/results.
set -u
python=${PYTHON:-python3}
home=${HOME_DIR:-/tmp/dreamgui-bench}
out=${OUT:-/tmp/dreamgui-bench-out}
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
# These machines keep no bytecode, and torch lies there without any: every start compiles its 2,000 modules, for 6 s.
unset PYTHONDONTWRITEBYTECODE
mkdir -p "$out" "$home"

install() { "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site "$@"; }
if ls .whl/*.whl > /dev/null 2>&1 && [ ! -d /tmp/site/diffusers ]; then install .whl/*.whl || exit; fi
if ls .whl8/*.whl > /dev/null 2>&1 && [ ! -d /tmp/site/bitsandbytes ]; then install .whl8/*.whl || exit; fi
[ -d /tmp/site ] && export PYTHONPATH=/tmp/site
if [ -d /tmp/site ] && [ ! -f /tmp/compiled ]; then
  # As run.py's installation does.
  "$python" -m compileall -qq -j 0 /tmp/site "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" . || true
  touch /tmp/compiled
fi

bench() { "$python" -m benchmarks.train --home "$home" --out "$out" "$@" 2>&1 | tee -a "$out/train.log"; }
named() { "$python" -m benchmarks.train --list | awk '{print $1}' | grep -E "$1"; }

memory='^(compile|memory-.*|tier-.*)$'
quiet='^(unet|lora|unet-8|lora-compiled|parity-.*|ready|ready-again|cold)$'

case ${1:-} in
  beside) bench --only $(named "$memory") ;;
  alone) bench --only $(named "$quiet") --seconds 3 ;;
  all) bench --seconds 3 ;;
  gpus) bench --only gpus-2 $([ "$(nvidia-smi -L | wc -l)" -ge 4 ] && echo gpus-4) --seconds 3 ;;
  rows) shift && bench --seconds 3 --only "$@" ;;
  profile) shift; "$python" -m benchmarks.train_profile --home "$home" "$@" 2>&1 | tee -a "$out/profile.log" ;;
  tests)
    timeout 300 "$python" -m pytest -q -p no:cacheprovider -k gpu tests/models/test_offload.py tests/models/test_manager.py \
      tests/training/test_compiler.py tests/training/test_graph.py tests/diffusion/test_saving_memory.py tests/training/test_worker.py 2>&1 | tail -40
    ;;
  rehearse) CUDA_VISIBLE_DEVICES='' bench --short --size tiny ;;
  *) sed -n '2,/^set/p' "$0" | grep '^#'  ;;
esac
