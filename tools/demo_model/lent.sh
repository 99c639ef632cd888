#!/usr/bin/env bash
# The whole run on a lent GPU machine that may be taken away at any moment. Run in the repository's root there.
#
#   lent.sh begin                starts the run in the background, with a short trial of all stages beside it
#   lent.sh watch SECONDS [RE]   shows what it does until the time is up, RE is in its log, or it failed
#   lent.sh results FOLDER       what there is so far, in files of at most 15 MB
#   lent.sh names SECONDS        binds names in the bundled model (train_names.py) and packs it again
#   lent.sh controlnets SECONDS  goes on with the bundled ControlNets, one on each GPU: RUN/real/controlnet
#   lent.sh persons PLAN NAME S  benchmarks/persons.py on all GPUs for S seconds; its pictures into the results
#
# RUN: where it works (default /dev/shm/demo-model). MINUTES, COUNT: see make.py. PYTHON: the interpreter.
set -u
run=${RUN:-/dev/shm/demo-model}
python=${PYTHON:-python3}
tools=tools/demo_model
gpus=${GPUS:-$(nvidia-smi -L | wc -l)}
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 DIFFUSERS_VERBOSITY=error TRANSFORMERS_VERBOSITY=error
export TORCHINDUCTOR_CACHE_DIR=$run/compiled
mkdir -p "$run"
readable='Loading weights|Writing model|it/s\]|[Ww]arn|^ |^$|^This call'

begin() {
  local trained=()
  if [ -d $tools/trained/vae ]; then
    mkdir -p "$run/trained"
    cp -r $tools/trained/vae "$run/trained/"
    cp -r benchmarks/judges "$run/trained/"
    cp assets/judges/* "$run/trained/judges/"
    trained=(--trained "$run/trained")
  fi
  # The trial finds mistakes within minutes and fills the compiler's cache: same batch, same number of GPUs.
  setsid nohup bash -c "$python $tools/make.py --out $run/trial --gpus $gpus --minutes 2.6 --count 1500 --workers 4 \
    --compile ${trained[*]} && $python $tools/collect.py --run $run/trial && echo TRIAL PASSED || echo TRIAL FAILED" \
    > "$run/trial.log" 2>&1 < /dev/null &
  setsid nohup "$python" $tools/make.py --out "$run/real" --gpus "$gpus" --minutes "${MINUTES:-20}" \
    --count "${COUNT:-90000}" --workers $(($(nproc) - 10)) --compile "${trained[@]}" \
    > "$run/make.log" 2>&1 < /dev/null &
}

watch() {
  local end=$(($(date +%s) + $1)) pattern=${2:-no pattern}
  until [ "$(date +%s)" -ge $end ] || grep -qE "a stage failed|$pattern" "$run/make.log"; do sleep 2; done
  for log in trial make persons; do
    [ -f "$run/$log.log" ] && echo "--- $log" && grep -vE "$readable" "$run/$log.log" | cut -c1-250 | tail -14
  done
  nvidia-smi --query-gpu=utilization.gpu,memory.used,power.draw --format=csv,noheader
}

results() {
  local kept="$run/real/collected"
  "$python" $tools/collect.py --run "$run/real" 2>&1 | tail -1
  if [ -d "$kept/model/unet" ]; then
    rm -rf "$kept/model/so-far"
  elif [ -d "$run/real/model/so-far" ]; then
    mkdir -p "$kept/model"
    cp -r "$run/real/model/so-far" "$kept/model/"
  fi
  tar cf - -C "$kept" . | split -b 15000000 - "$1/collected.tar."
  [ -d "$run/persons" ] && tar cf - -C "$run" persons | split -b 15000000 - "$1/persons.tar."
  cp "$run/make.log" "$1/"
}

names() {
  local named=$run/named vae=$tools/trained/vae out=$run/real
  local ranks=("$python" -m torch.distributed.run --standalone --nproc_per_node "$gpus")
  mkdir -p "$out"
  ("$python" -m dreamgui demo --unpack "$run/unpacked" | tail -1
    "$python" -m dreamgui convert "$run/unpacked/portraits.safetensors" --to diffusers --out "$out/bundled" | tail -1) &
  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$python" $tools/make_pictures.py --count "${COUNT:-36000}" \
    --names "${NAMES:-480}" --seed 77 --out "$named" --workers "$(nproc)" 2>&1 | tail -1
  "$python" $tools/prepare.py --pictures "$named" --only tokens --any-name 0.8 --workers 8
  wait
  export OMP_NUM_THREADS=4
  "${ranks[@]}" $tools/encode.py --pictures "$named" --vae $vae 2>&1 | grep -vE "$readable"
  "${ranks[@]}" $tools/train_names.py --pictures "$named" --vae $vae --model "$out/bundled" \
    --out "$out/model" --seconds "$1" ${BATCH:+--batch $BATCH} ${COMPILE:+--compile} 2>&1 | grep -vE "$readable"
  unset OMP_NUM_THREADS
  mkdir -p "$out/names"
  mv "$out/model/curve.json" "$out/names/"
  cp -r $vae "$out/vae"
  cp -r assets/demo/controlnet "$out/"
  cp -r benchmarks/judges "$out/judges"
  cp assets/judges/* "$out/judges/"
  "$python" $tools/pack.py --run "$out" --assets assets/demo --judges "$run/judges" 2>&1 | tail -1
}

controlnets() {
  local drawn=$run/drawn vae=$tools/trained/vae out=$run/real kind gpu=0
  mkdir -p "$out/controlnet"
  ("$python" -m dreamgui demo --unpack "$run/unpacked" | tail -1
    "$python" -m dreamgui convert "$run/unpacked/portraits.safetensors" --to diffusers --out "$out/bundled" | tail -1) &
  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$python" $tools/make_pictures.py --count "${COUNT:-60000}" \
    --seed 78 --out "$drawn" --workers "$(nproc)" 2>&1 | tail -1
  OMP_NUM_THREADS=1 "$python" $tools/make_people.py --persons 20 --each 12 --first-seed 9500000 --out "$run/held-out" --workers 8 | tail -1
  OMP_NUM_THREADS=1 "$python" $tools/prepare.py --pictures "$drawn" --workers "$(nproc)" &
  OMP_NUM_THREADS=4 "$python" -m torch.distributed.run --standalone --nproc_per_node "$gpus" \
    $tools/encode.py --pictures "$drawn" --vae $vae 2>&1 | grep -vE "$readable"
  wait
  for kind in canny pose; do
    CUDA_VISIBLE_DEVICES=$gpu OMP_NUM_THREADS=4 "$python" $tools/train_controlnets.py --kind $kind --pictures "$drawn" \
      --held-out "$run/held-out" --vae $vae --model "$out/bundled" --start assets/demo/controlnet/$kind \
      --out "$out/controlnet/$kind" --seconds "$1" ${COMPILE:+--compile} 2>&1 | grep -vE "$readable" &
    gpu=$(((gpu + 1) % gpus))
  done
  wait
}

persons() {
  if [ ! -f assets/demo/card.json ] || [ "$run/real/model/curve.json" -nt assets/demo/card.json ]; then
    "$python" $tools/collect.py --run "$run/real" 2>&1 | tail -1
    "$python" $tools/pack.py --run "$run/real/collected" --assets assets/demo --judges "$run/judges" 2>&1 | tail -1
  fi
  mkdir -p "$run/persons"
  cp -r "${CROPS:-.bench}/datasets" "$run/persons/"
  "$python" benchmarks/persons.py train --out "$run/persons" --plan "$1" --name "$2" --limit-s "$3" \
    --jobs "${JOBS:-$((6 * gpus))}" --threads 2 ${PERSONS:+--persons $PERSONS} ${SEEDS:+--seeds $SEEDS} 2>&1 |
    grep -vE "$readable" | tee -a "$run/persons.log" | tail -20
  rm -rf "$run/persons/datasets"
}

"$@"
