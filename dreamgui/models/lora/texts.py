"""Texts in a LoRA file's header: its origin, as other programs show it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dreamgui.models.catalog.cards import ModelCard

# What kohya's scripts call a TrainJob's fields.
_KOHYA_NAMES = {
    "ss_output_name": "run",
    "ss_learning_rate": "learning_rate",
    "ss_unet_lr": "learning_rate",
    "ss_max_train_steps": "steps",
    "ss_steps": "steps",
    "ss_lr_scheduler": "lr_schedule",
    "ss_lr_warmup_steps": "warmup_steps",
    "ss_batch_size_per_device": "batch_size",
    "ss_seed": "seed",
    "ss_min_snr_gamma": "min_snr_gamma",
    "ss_max_grad_norm": "max_grad_norm",
    "ss_prior_loss_weight": "prior_weight",
}


def lora_metadata(
    job_json: str,
    card: ModelCard,
    rank: int,
    alpha: float,
    captions: Sequence[str] | None = None,
    title: str = "",
    started_s: float | None = None,
) -> dict[str, str]:
    """Texts for a file's header: the job, the base it was trained on, and the ``ss_`` keys that kohya's,
    A1111's and ComfyUI's readers show (https://github.com/kohya-ss/sd-scripts writes the same).

    Args:
        job_json: the training's settings; a setting that it doesn't hold is left out.
        captions: of the photographs that it was trained on, where they are known.
        title: name of the run.
        started_s: when the training began, in seconds since 1970, where that is known.
    """
    job = json.loads(job_json)
    texts = {
        "dreamgui_job": job_json,
        "dreamgui_base": card.name,
        "dreamgui_base_sha256": card.sha256,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(alpha),
        "ss_sd_model_name": card.name,
        "ss_new_sd_model_hash": card.sha256,
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_resolution": f"({card.size_px}, {card.size_px})",
        "ss_training_comment": "trained with DreamGUI",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
    }
    texts |= {key: str(job[name]) for key, name in _KOHYA_NAMES.items() if job.get(name) not in (None, "")}
    if job.get("lora_targets") == "attention+conv":
        texts["ss_network_args"] = json.dumps({"conv_dim": str(rank), "conv_alpha": str(alpha)})
    told = {
        "modelspec.title": title,
        "modelspec.trigger_phrase": str(job.get("instance_prompt") or ""),
        "ss_training_started_at": "" if started_s is None else str(started_s),
    }
    texts |= {key: text for key, text in told.items() if text}
    if captions is not None:
        texts |= _picture_texts(job, captions)
    return texts


def _picture_texts(job: Mapping[str, Any], captions: Sequence[str]) -> dict[str, str]:
    folder, count = "1_" + str(job.get("instance_prompt", "")), len(captions)
    tags = Counter(tag for caption in captions for part in caption.split(",") if (tag := part.strip()))
    texts = {
        "ss_num_train_images": str(count),
        "ss_num_reg_images": "0",
        "ss_dataset_dirs": json.dumps({folder: {"n_repeats": 1, "img_count": count}}),
        "ss_tag_frequency": json.dumps({folder: dict(tags.most_common())}, ensure_ascii=False),
    }
    if job.get("prior_preservation"):
        count = int(job.get("class_count", 0))
        texts["ss_num_reg_images"] = str(count)
        texts["ss_reg_dataset_dirs"] = json.dumps(
            {"1_" + str(job.get("class_prompt", "")): {"n_repeats": 1, "img_count": count}}
        )
    return texts
