"""TAESD of each layout decodes latents as diffusers' own class does; what isn't TAESD is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from safetensors.torch import save_file

from dreamgui.diffusion.generate.tiny_decoder import tiny_decoder, tiny_preview
from dreamgui.errors import BadModelFile

CPU = torch.device("cpu")
LATENTS = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(1))


def small_taesd() -> AutoencoderTiny:
    """TAESD's layers with 8 channels in place of 64, of random weights."""
    torch.manual_seed(0)
    return AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)


def expected(model: AutoencoderTiny) -> np.ndarray:
    with torch.no_grad():
        pixels = model.decode(LATENTS[None]).sample[0]
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()


def test_a_folder_of_diffusers(tmp_path: Path) -> None:
    model = small_taesd()
    model.save_pretrained(tmp_path / "taesd")
    decoder = tiny_decoder([tmp_path / "nowhere", tmp_path], CPU, torch.float32)
    shown = tiny_preview(decoder, LATENTS)
    assert shown.size == (64, 48)
    assert np.array_equal(np.asarray(shown), expected(model))


@pytest.mark.parametrize("naming", ["author", "diffusers"])
def test_a_single_file(tmp_path: Path, naming: str) -> None:
    """The author's file numbers the layers with the clamp in front: 0 is the clamp, 1 the first convolution."""
    torch.manual_seed(0)
    model = AutoencoderTiny()
    tensors = {}
    for name, tensor in model.decoder.state_dict().items():
        number, rest = name.removeprefix("layers.").split(".", 1)
        named = f"{int(number) + 1}.{rest}" if naming == "author" else f"decoder.{name}"
        tensors[named] = tensor.clone()
    assert naming == "diffusers" or {"1.weight", "3.conv.0.weight"} <= set(tensors)
    save_file(tensors, tmp_path / "taesd_decoder.safetensors")
    decoder = tiny_decoder([tmp_path], CPU, torch.float32)
    assert np.array_equal(np.asarray(tiny_preview(decoder, LATENTS)), expected(model))


def test_there_is_none_and_it_is_broken(tmp_path: Path) -> None:
    assert tiny_decoder([tmp_path], CPU, torch.float32) is None
    (tmp_path / "taesd.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadModelFile, match="taesd.safetensors can't be read as TAESD"):
        tiny_decoder([tmp_path], CPU, torch.float32)
    save_file({"1.weight": torch.zeros(2)}, tmp_path / "taesd.safetensors")
    with pytest.raises(BadModelFile, match="can't be read as TAESD"):
        tiny_decoder([tmp_path], CPU, torch.float32)
