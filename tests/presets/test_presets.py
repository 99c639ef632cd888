"""Presets: our files come back as they were, other programs' keys are accounted for one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dreamgui.cli import main
from dreamgui.config import TrainJob
from dreamgui.errors import BadInput, UnknownName
from dreamgui.presets.account import heading, lines_of
from dreamgui.presets.files import MARK, NOT_SHARED, preset_text, read_preset
from dreamgui.presets.reading import NO_COUNTERPART, Reading
from dreamgui.presets.shelf import delete_preset, find_preset, preset_names, save_preset
from dreamgui.workspace import Workspace

GUI: dict[str, Any] = {
    "LoRA_type": "Standard",
    "LyCORIS_preset": "full",
    "adaptive_noise_scale": 0,
    "additional_parameters": "",
    "bucket_no_upscale": True,
    "cache_latents": True,
    "clip_skip": 2,
    "color_aug": False,
    "conv_dim": 1,
    "dora_wd": False,
    "epoch": 1,
    "flip_aug": True,
    "full_bf16": False,
    "gradient_accumulation_steps": 2.0,
    "gradient_checkpointing": True,
    "learning_rate": "0.0002",
    "log_with": "",
    "lr_scheduler": "cosine",
    "lr_warmup": 10,
    "max_grad_norm": 1,
    "max_resolution": "512,512",
    "max_train_epochs": "",
    "max_train_steps": 1500,
    "min_snr_gamma": 5,
    "mixed_precision": "bf16",
    "network_alpha": 16,
    "network_dim": 32,
    "noise_offset": "0,05",
    "optimizer": "AdamW8bit",
    "output_name": "anna-v1",
    "pretrained_model_name_or_path": "D:/models/v1-5-pruned.safetensors",
    "prior_loss_weight": 0.5,
    "reg_data_dir": "D:/classes",
    "sample_every_n_steps": 250,
    "sample_prompts": "# first\na photo of sks woman --w 512 --h 512 --s 28\nsks woman, smiling --n blurry",
    "save_every_n_steps": 500,
    "seed": "1234",
    "shuffle_caption": True,
    "stop_text_encoder_training": 30,
    "text_encoder_lr": "5e-05",
    "train_batch_size": 3,
    "unet_lr": "0.0001",
    "xformers": "xformers",
}
"""Settings after the key names of kohya_ss's LoRA tab."""

TOML = """
[network_arguments]
network_module = "networks.lora"
network_dim = 8
network_alpha = 4
network_args = ["conv_dim=4", "conv_alpha=1"]
network_train_unet_only = true

[optimizer_arguments]
learning_rate = 0.0003
lr_scheduler = "cosine_with_restarts"
lr_scheduler_num_cycles = 3
lr_warmup_steps = 56
optimizer_type = "Prodigy"
max_grad_norm = 0.0

[training_arguments]
pretrained_model_name_or_path = "somebody/model"
max_train_epochs = 5
train_batch_size = 4
seed = 42
min_snr_gamma = 8.0
sample_prompts = "prompts.txt"
noise_offset = 0.9
"""

ONETRAINER: dict[str, Any] = {
    "training_method": "LORA",
    "model_type": "STABLE_DIFFUSION_15",
    "base_model_name": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "learning_rate": 0.0003,
    "learning_rate_scheduler": "COSINE",
    "learning_rate_warmup_steps": 200.0,
    "epochs": 100,
    "batch_size": 4,
    "gradient_accumulation_steps": 2,
    "ema": "GPU",
    "ema_decay": 0.9995,
    "loss_weight_fn": "MIN_SNR_GAMMA",
    "loss_weight_strength": 5.0,
    "clip_grad_norm": 1.0,
    "offset_noise_weight": 0.03,
    "lora_rank": 16,
    "lora_alpha": 1.0,
    "lora_decompose": True,
    "peft_type": "LORA",
    "layer_filter_preset": "attn-only",
    "gradient_checkpointing": "ON",
    "optimizer": {"optimizer": "ADAMW_8BIT", "fused_back_pass": False, "weight_decay": 0.01},
    "unet": {"train": True, "learning_rate": None},
    "text_encoder": {"train": True, "learning_rate": 0.0001},
    "sample_after": 10,
    "sample_after_unit": "MINUTE",
    "backup_after": 30,
    "backup_after_unit": "MINUTE",
    "validation": False,
    "validate_after": 1,
    "samples": [{"prompt": "sks woman", "diffusion_steps": 24}, {"prompt": "sks woman, outside"}],
    "output_model_destination": "models/anna.safetensors",
    "masked_training": True,
}
"""Settings after the names of OneTrainer's config.json."""


def written(tmp_path: Path, values: Any, name: str = "settings.json") -> Path:
    path = tmp_path / name
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


def accounted(reading: Reading, keys: set[str]) -> None:
    """Each key of the file is in exactly one list."""
    taken, left, off = {item.key for item in reading.taken}, set(reading.left), set(reading.off)
    assert taken | left | off == keys
    assert not taken & left and not taken & off and not left & off


def test_kohya_gui(tmp_path: Path) -> None:
    reading = read_preset(written(tmp_path, GUI))
    assert reading.source == "kohya_ss"
    assert reading.settings == {
        "method": "lora",
        "batch_size": 3,
        "accumulate": 2,
        "rank": 32,
        "alpha": 16.0,
        "prior_weight": 0.5,
        "offset_noise": 0.05,
        "gradient_checkpointing": True,
        "random_flips": True,
        "bf16_weights": False,
        "dora": False,
        "seed": 1234,
        "run": "anna-v1",
        "min_snr_gamma": 5.0,
        "max_grad_norm": 1.0,
        "learning_rate": 1e-4,
        "train_text_encoder": True,
        "text_learning_rate": 5e-5,
        "text_share": 0.3,
        "optimizer": "adamw-8bit",
        "lr_schedule": "cosine",
        "steps": 1500,
        "warmup_steps": 150,
        "prior_preservation": True,
        "sample_every": 250,
        "checkpoint_every": 500,
        "sample_prompts": ("a photo of sks woman", "sks woman, smiling"),
        "sample_steps": 28,
    }
    assert reading.left["learning_rate"] == "unet_lr wins over it there"
    assert reading.left["shuffle_caption"] == reading.left["clip_skip"] == NO_COUNTERPART
    assert "choose the base model" in reading.left["pretrained_model_name_or_path"]
    assert {"color_aug", "adaptive_noise_scale", "additional_parameters"} <= set(reading.off)
    accounted(reading, set(GUI))
    TrainJob(**reading.settings)


def test_sd_scripts_toml(tmp_path: Path) -> None:
    reading = read_preset(written(tmp_path, TOML, "config.toml"))
    assert reading.source == "sd-scripts"
    assert reading.settings == {
        "method": "lora",
        "lora_targets": "attention+conv",
        "batch_size": 4,
        "rank": 8,
        "alpha": 4.0,
        "seed": 42,
        "min_snr_gamma": 8.0,
        "learning_rate": 3e-4,
        "train_text_encoder": False,
        "optimizer": "prodigy",
        "warmup_steps": 56,
    }
    left = {
        "lr_scheduler", "lr_scheduler_num_cycles", "max_grad_norm", "max_train_epochs", "sample_prompts",
        "noise_offset", "pretrained_model_name_or_path",
    }  # fmt: skip
    assert set(reading.left) == left
    assert "Offset noise takes no 0.9" in reading.left["noise_offset"]
    assert "type the training steps" in reading.left["max_train_epochs"]


def test_onetrainer(tmp_path: Path) -> None:
    reading = read_preset(written(tmp_path, ONETRAINER))
    assert reading.source == "OneTrainer"
    assert reading.settings == {
        "method": "lora",
        "lr_schedule": "cosine",
        "optimizer": "adamw-8bit",
        "lora_targets": "attention",
        "batch_size": 4,
        "accumulate": 2,
        "rank": 16,
        "alpha": 1.0,
        "offset_noise": 0.03,
        "dora": True,
        "optimizer_in_backward": False,
        "gradient_checkpointing": True,
        "run": "anna",
        "learning_rate": 3e-4,
        "train_text_encoder": True,
        "text_learning_rate": 1e-4,
        "warmup_steps": 200,
        "min_snr_gamma": 5.0,
        "ema_decay": 0.9995,
        "max_grad_norm": 1.0,
        "validate_every": 0,
        "checkpoint_seconds": 1800.0,
        "sample_prompts": ("sks woman", "sks woman, outside"),
        "sample_steps": 24,
    }
    assert reading.left["sample_after"] == "counted by steps here, not by minute"
    assert reading.left["masked_training"] == NO_COUNTERPART
    sections = ("optimizer", "unet", "text_encoder")
    inner = {f"{name}.{key}" for name in sections for key in ONETRAINER[name]}
    accounted(reading, set(ONETRAINER) - set(sections) | inner)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({**GUI, "sdxl": True}, "sdxl"),
        ({**GUI, "LoRA_type": "Flux1"}, "LoRA_type"),
        ({**ONETRAINER, "model_type": "STABLE_DIFFUSION_XL_10_BASE"}, "model_type"),
    ],
)
def test_settings_of_another_family_are_not_taken(tmp_path: Path, values: dict[str, Any], key: str) -> None:
    reading = read_preset(written(tmp_path, values))
    assert reading.settings == {}
    assert "another family" in reading.left[key]


def test_a_run_and_a_job_of_ours_are_read(tmp_path: Path) -> None:
    job = TrainJob(steps=77, dataset="anna", run="anna-1", processes=2)
    given = job.model_dump(mode="json", exclude_unset=True)
    for name, values in {
        "job.json": {"kind": "train", "owner": "", "job": given},
        "run.json": {"name": "anna-1", "kind": "lora", "steps": 77, "job": given},
    }.items():
        reading = read_preset(written(tmp_path, values, name))
        assert reading.settings == {"steps": 77, "dataset": "anna"}
        assert set(reading.left) == {"run", "processes"}


def test_a_field_of_an_older_version_is_told(tmp_path: Path) -> None:
    values = {"format": MARK, "version": 1, "settings": {"steps": 5, "gone": 1, "rank": 0}}
    reading = read_preset(written(tmp_path, values))
    assert reading.settings == {"steps": 5}
    assert reading.left["gone"] == NO_COUNTERPART
    assert "LoRA rank takes no 0" in reading.left["rank"]


def test_a_saved_preset_comes_back_without_person_run_and_machine(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    settings = TrainJob(
        steps=77, learning_rate=None, optimizer="prodigy", dataset="anna", run="anna-1"
    ).model_dump()
    assert preset_names(workspace) == []
    name = save_preset(workspace, "My settings", settings)
    assert preset_names(workspace) == [name] == ["My-settings"]
    reading = read_preset(find_preset(workspace, name))
    assert reading.settings == {key: value for key, value in settings.items() if key not in NOT_SHARED}
    assert reading.left == {}
    assert "anna" not in preset_text(settings)
    delete_preset(workspace, name)
    assert preset_names(workspace) == []
    with pytest.raises(UnknownName, match="My-settings"):
        find_preset(workspace, name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[1, 2]"),
        ("a.json", '{"steps": 5}'),
        ("a.json", "[" * 100_000),
        ("a.toml", "a ="),
        ("b.json", '{"job": 5, "network_dim": 8}'),
    ],
)
def test_what_holds_no_settings_is_refused_by_name(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(BadInput, match=name):
        read_preset(written(tmp_path, text, name))


def test_odd_values_are_left_and_break_nothing(tmp_path: Path) -> None:
    odd = {
        **GUI,
        "network_dim": "many",
        "learning_rate": {"a": 1},
        "seed": -5,
        "max_train_steps": "NaN",
        "epoch": [1],
    }
    odd |= {"optimizer": 7, "sample_prompts": ["a"], "train_batch_size": 1e9, "text_encoder_lr": []}
    reading = read_preset(written(tmp_path, odd))
    assert "rank" not in reading.settings and "steps" not in reading.settings
    assert "Batch size takes no 1000000000" in reading.left["train_batch_size"]
    assert "seed" in reading.left
    both = {**ONETRAINER, "samples": [1, {"prompt": None}], "optimizer": "ADAMW", "batch_size": "x"}
    assert "batch_size" not in read_preset(written(tmp_path, both)).settings


def test_the_account_is_told_in_lines(tmp_path: Path) -> None:
    reading = read_preset(written(tmp_path, TOML, "config.toml"))
    assert heading(reading) == "From sd-scripts: 11 taken, 7 left out."
    lines = lines_of(reading, given=["rank"])
    assert "  LoRA rank: 8 (network_dim) - not used, as another value is given" in lines
    assert any(line.startswith("  max_train_epochs: epochs depend") for line in lines)


def test_the_command_line_takes_a_preset_and_options_win(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = written(tmp_path, TOML, "config.toml")
    home = tmp_path / "home"
    command = ["--home", str(home), "train", "--preset", str(path), "--rank", "6", "--offset-noise", "0,1"]
    assert main([*command, "--model", "nobody"]) == 1
    out = capsys.readouterr().out
    assert "From sd-scripts: 11 taken, 7 left out." in out and "LoRA rank: 8 (network_dim) - not used" in out
    [file] = home.glob("jobs/*-train-*/job.json")
    job = json.loads(file.read_text("utf-8"))["job"]
    assert (job["rank"], job["alpha"], job["optimizer"], job["offset_noise"]) == (6, 4.0, "prodigy", 0.1)
    assert main(["--home", str(home), "train", "--preset", "nobody's"]) == 2
    assert "There is no preset named" in capsys.readouterr().err
