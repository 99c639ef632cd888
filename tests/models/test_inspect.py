"""Five lines about any file, from its header alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dreamgui.assets import asset
from dreamgui.cli import main
from dreamgui.errors import BadModelFile
from dreamgui.models.files.layout import read_layout
from dreamgui.models.recognition.inspect_file import inspect_file
from tests.reading import bytes_read

# The families' configs, and what Python reads to import.
BESIDE_BYTES = 1_000_000
ROOT = Path(__file__).resolve().parents[2]


def full_size(path: Path) -> Path:
    """A Stable Diffusion 1.5 checkpoint in fp32 of zeros: 4.3 GB that take no room on the disk."""
    entries, end = {}, 0
    for key, slot in read_layout(asset("sd15")).items():
        start, end = end, end + 4 * torch.Size(slot.ldm_shape).numel()
        entries[key] = {"dtype": "F32", "shape": list(slot.ldm_shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def test_of_a_file_of_4_gb_only_the_header_is_read(tmp_path: Path) -> None:
    path = full_size(tmp_path / "big.safetensors")
    header_bytes = int.from_bytes(path.open("rb").read(8), "little")
    before = bytes_read()
    lines = inspect_file(path)
    assert bytes_read() - before < header_bytes + BESIDE_BYTES
    assert len(lines) == 5 and lines[0] == "big.safetensors: a Stable Diffusion 1.5 checkpoint"
    assert lines[1] == "4.3 GB, safetensors, 1130 tensors, 1066.2 million numbers, F32 x 1130"
    assert all(part in lines[2] for part in ("UNet", "text encoder", "VAE"))
    assert lines[4] == f"Next: python -m dreamgui convert {path}"


def test_a_lora_says_rank_and_origin(tmp_path: Path) -> None:
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{stem}.lora_down.weight": torch.ones(8, 768), f"{stem}.lora_up.weight": torch.ones(320, 8)}
    texts = {"ss_network_alpha": "4.0", "ss_output_name": "anna", "ss_steps": "900"}
    save_file(tensors, tmp_path / "anna.safetensors", texts)
    (tmp_path / "anna.certificate.json").write_text(
        '{"files": {"a": {"sha256": "0123456789abcdef"}}, "reader": "R"}'
    )
    lines = inspect_file(tmp_path / "anna.safetensors")
    assert "LoRA" in lines[0] and "Stable Diffusion 1.5" in lines[0]
    assert lines[2] == "Holds: rank 8 (1 layers), alpha 4.0; UNet 1 layers, text encoder 0 layers"
    assert lines[3] == "Origin: output_name anna; steps 900; certified (R), sha256 0123456789ab"


def test_alphas_that_differ_by_layer_are_told(tmp_path: Path) -> None:
    stem = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_"
    tensors = {f"{stem}{end}.lora_{half}.weight": torch.ones(4, 4) for end in "qkv" for half in "AB"}
    settings = {"unet.r": 4, "unet.lora_alpha": 2, "unet.alpha_pattern": {"to_q": 16.0}}
    save_file(tensors, tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(settings)})
    assert "alpha 2 (2 layers), 16 (1 layers); UNet 3" in inspect_file(tmp_path / "a.safetensors")[2]
    peft = {"base_model.model." + key.removeprefix("unet."): value for key, value in tensors.items()}
    save_file(peft, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    assert "alpha 8 (3 layers)" in inspect_file(tmp_path)[2]
    (tmp_path / "adapter_config.json").write_text("[")
    assert "alpha that can't be read" in inspect_file(tmp_path)[2]


def test_folders(tiny_folder: Path, tmp_path: Path) -> None:
    lines = inspect_file(tiny_folder)
    assert len(lines) == 5 and "diffusers folder (StableDiffusionPipeline)" in lines[0]
    assert lines[2] == "Holds: unet, text_encoder, vae"
    with pytest.raises(BadModelFile, match="no diffusers model"):
        inspect_file(tmp_path)


def test_the_command(tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_file)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    (tmp_path / "x.safetensors").write_text("<html>")
    assert main(["inspect", str(tmp_path / "x.safetensors")]) == 2
    assert "web page" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "gone")]) == 2


def test_no_torch_is_imported() -> None:
    code = "import sys, dreamgui.models.recognition.inspect_file; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "7",
        "null",
        '"x"',
        "[" * 100_000,
        '{"_class_name": ["x"]}',
        '{"_class_name": null}',
        "{}",
        "{",
        "\x00",
    ],
)
def test_a_malformed_index_of_a_folder_is_refused_in_a_sentence(
    tiny_folder: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "m" / "unet").mkdir(parents=True)
    weights = "unet/diffusion_pytorch_model.safetensors"
    (tmp_path / "m" / weights).symlink_to(tiny_folder / weights)
    (tmp_path / "m" / "model_index.json").write_text(text)
    with pytest.raises(BadModelFile, match=r"^model_index\.json of m is broken"):
        inspect_file(tmp_path / "m")
