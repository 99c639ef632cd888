"""Settings of OneTrainer: its config.json and its training presets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from dreamgui.presets.reading import Reading, is_off, number, shortened

SIGNS = ("training_method", "model_type", "base_model_name", "learning_rate_scheduler", "lora_rank")
"""Keys of which a file of OneTrainer has at least two."""
METHODS = {"LORA": "lora", "FINE_TUNE": "unet"}
PLAIN = {
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulate",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "offset_noise_weight": "offset_noise",
}
SWITCHES = {"lora_decompose": "dora", "compile": "compile", "tensorboard": "tensorboard"}
OPTIMIZERS = {
    "ADAMW": "adamw",
    "ADAMW_8BIT": "adamw-8bit",
    "PRODIGY": "prodigy",
    "SCHEDULE_FREE_ADAMW": "schedule-free",
}
SCHEDULES = {"CONSTANT": "constant", "LINEAR": "linear", "COSINE": "cosine"}
TARGETS = {"attn-only": "attention", "full": "attention+conv"}
SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600}
ONLY_HERE = {
    "base_model_name": "a file or address of that machine: choose the base model here",
    "concept_file_name": "a file of that machine: choose the dataset here",
    "concepts": "photographs of that machine: choose the dataset here",
    "resolution": "crops have their dataset's size",
    "train_dtype": "chosen by the GPU here",
    "epochs": "epochs depend on the number of photographs: type the training steps",
    "sample_definition_file_name": "a file of that machine",
    "workspace_dir": "a folder of that machine",
    "cache_dir": "a folder of that machine",
}


def is_onetrainer(values: Mapping[str, Any]) -> bool:
    """Return whether these are settings of OneTrainer."""
    return sum(key in values for key in SIGNS) >= 2


def read_onetrainer(values: Mapping[str, Any]) -> Reading:
    """Return the account of a file's settings. Keys of sections are told as ``section.key``."""
    flat = _flattened(values)
    reading = Reading("OneTrainer")
    family = str(values.get("model_type", "STABLE_DIFFUSION_15"))
    if family == "STABLE_DIFFUSION_15":
        for step in _STEPS:
            step(flat, reading)
        for key, reason in ONLY_HERE.items():
            if key in flat and not is_off(flat[key]):
                reading.leave(key, reason)
        if "model_type" in flat and "model_type" not in reading.left:
            reading.off.append("model_type")
    else:
        told = "another family than Stable Diffusion 1.5: nothing else of the file was taken"
        reading.leave("model_type", told)
    reading.rest(flat)
    return reading


def _flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inside = value.items() if isinstance(value, Mapping) and key != "optimizer_defaults" else ()
        flat |= {f"{key}.{name}": item for name, item in inside} if inside else {key: value}
    return flat


def _choose(flat: Mapping[str, Any], reading: Reading, key: str, name: str, known: Mapping[str, str]) -> None:
    """Take one of several names, or leave it with what there is."""
    if flat.get(key) in (None, ""):
        return
    if (found := known.get(str(flat[key]))) is not None:
        reading.take(key, name, found)
    else:
        there = ", ".join(dict.fromkeys(known.values()))
        reading.leave(key, f"{shortened(flat[key])} isn't there; there is {there}")


def _choices(flat: Mapping[str, Any], reading: Reading) -> None:
    _choose(flat, reading, "training_method", "method", METHODS)
    _choose(flat, reading, "learning_rate_scheduler", "lr_schedule", SCHEDULES)
    _choose(flat, reading, "optimizer.optimizer", "optimizer", OPTIMIZERS)
    _choose(flat, reading, "layer_filter_preset", "lora_targets", TARGETS)
    if str(flat.get("peft_type", "LORA")) != "LORA":
        reading.leave("peft_type", f"{shortened(flat['peft_type'])} isn't trained here; a plain LoRA is")


def _plain(flat: Mapping[str, Any], reading: Reading) -> None:
    reading.take_named(flat, PLAIN, SWITCHES)
    if isinstance(flat.get("optimizer.fused_back_pass"), bool):
        reading.take("optimizer.fused_back_pass", "optimizer_in_backward", flat["optimizer.fused_back_pass"])
    for key in ("gradient_checkpointing", "unet.gradient_checkpointing"):
        if key in flat:
            reading.take(
                key, "gradient_checkpointing", flat[key] is True or flat[key] in ("ON", "CPU_OFFLOADED")
            )
    if not is_off(flat.get("output_model_destination")):
        name = PurePosixPath(str(flat["output_model_destination"]).replace("\\", "/")).stem
        reading.take("output_model_destination", "run", name)


def _rates(flat: Mapping[str, Any], reading: Reading) -> None:
    for key in ("learning_rate", "unet.learning_rate"):
        if rate := number(flat.get(key)):
            reading.take(key, "learning_rate", rate)
    if isinstance(flat.get("text_encoder.train"), bool):
        reading.take("text_encoder.train", "train_text_encoder", flat["text_encoder.train"])
    if rate := number(flat.get("text_encoder.learning_rate")):
        reading.take("text_encoder.learning_rate", "text_learning_rate", rate)
    warmup = number(flat.get("learning_rate_warmup_steps"))
    if warmup is not None and (not warmup or warmup > 1):
        reading.take("learning_rate_warmup_steps", "warmup_steps", warmup)
    elif warmup:
        reading.leave("learning_rate_warmup_steps", "a share of steps that the file doesn't tell")


def _losses(flat: Mapping[str, Any], reading: Reading) -> None:
    """Take Min-SNR, EMA and clipping. A strength of something that is off changes nothing."""
    weighting = flat.get("loss_weight_fn")
    if weighting == "CONSTANT":
        reading.take("loss_weight_fn", "min_snr_gamma", None)
        reading.off += ["loss_weight_strength"] * ("loss_weight_strength" in flat)
    elif weighting == "MIN_SNR_GAMMA":
        reading.take("loss_weight_strength", "min_snr_gamma", number(flat.get("loss_weight_strength", 5)))
        reading.off.append("loss_weight_fn")
    elif weighting:
        reading.leave("loss_weight_fn", f"{shortened(weighting)} isn't there; Min-SNR is")
    if flat.get("ema") == "OFF":
        reading.take("ema", "ema_decay", None)
        reading.off += [key for key in ("ema_decay", "ema_update_step_interval") if key in flat]
    elif flat.get("ema"):
        reading.take("ema_decay", "ema_decay", number(flat.get("ema_decay", 0.999)))
        reading.off.append("ema")
    if (norm := number(flat.get("clip_grad_norm"))) is not None:
        reading.take("clip_grad_norm", "max_grad_norm", norm)


def _rhythm(flat: Mapping[str, Any], reading: Reading) -> None:
    """Take what happens every so many steps. OneTrainer counts in epochs and minutes too."""
    every = {
        "sample_after": "sample_every",
        "backup_after": "checkpoint_every",
        "validate_after": "validate_every",
    }
    if flat.get("validation") is False:
        reading.take("validation", "validate_every", 0)
        del every["validate_after"]
        reading.off += [key for key in ("validate_after", "validate_after_unit") if key in flat]
    for key, name in every.items():
        value, unit = number(flat.get(key)), str(flat.get(f"{key}_unit", ""))
        reading.off += [f"{key}_unit"] * (f"{key}_unit" in flat)
        if value is None:
            continue
        if unit == "STEP":
            reading.take(key, name, value)
        elif unit in SECONDS and key == "backup_after":
            reading.take(key, "checkpoint_seconds", value * SECONDS[unit])
        else:
            reading.leave(key, f"counted by steps here, not by {unit.lower() or 'another unit'}")
    if flat.get("rolling_backup") is True and (kept := number(flat.get("rolling_backup_count"))):
        reading.take("rolling_backup_count", "keep_checkpoints", kept)
        reading.off.append("rolling_backup")


def _samples(flat: Mapping[str, Any], reading: Reading) -> None:
    given = flat.get("samples")
    found = [item for item in given if isinstance(item, Mapping)] if isinstance(given, list) else []
    if prompts := [str(item["prompt"]).strip() for item in found if item.get("prompt")]:
        reading.take("samples", "sample_prompts", prompts)
        if steps := number(found[0].get("diffusion_steps")):
            reading.take("samples", "sample_steps", steps)


_STEPS: tuple[Callable[[Mapping[str, Any], Reading], None], ...] = (
    _choices, _plain, _rates, _losses, _rhythm, _samples,
)  # fmt: skip
