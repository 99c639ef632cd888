"""Files that are sound but no Stable Diffusion 1.5 checkpoint, and checkpoints with something wrong inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import cache

import torch
from safetensors.torch import save

Shapes = dict[str, tuple[int, ...]]
UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"
OUT = f"{UNET}out.2.weight"
CROSS = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


@cache
def tiny() -> dict[str, torch.Tensor]:
    """A whole checkpoint of the tiny family, as a single file has it."""
    from dreamgui.models.files.layout import PARTS
    from tests.single_files import join_parts
    from tests.tiny import make_layout, tiny_text_encoder, tiny_unet, tiny_vae

    torch.manual_seed(0)
    made = {"unet": tiny_unet(), "vae": tiny_vae(), "text_encoder": tiny_text_encoder()}
    return join_parts({part: made[part].half().state_dict() for part in PARTS}, make_layout())


def empty(shapes: Shapes) -> Callable[[], bytes]:
    """A file of these tensors, all zero."""

    def make() -> bytes:
        entries, end = {}, 0
        for key, shape in shapes.items():
            begin, end = end, end + 2 * torch.Size(shape).numel()
            entries[key] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(entries).encode()
        return struct.pack("<Q", len(text)) + text + bytes(end)

    return make


def changed(key: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[], bytes]:
    """The tiny checkpoint with one tensor changed, or left out."""

    def make() -> bytes:
        tensors = dict(tiny())
        value = change(tensors.pop(key).clone())
        if value is not None:
            tensors[key] = value.contiguous()
        return save(tensors)

    return make


def first_number(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.float() if number == 1e9 else tensor
        tensor.view(-1)[0] = number
        return tensor

    return change


VAE_KEY = "first_stage_model.decoder.conv_out.weight"
TEXT_KEY = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
LORA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
MODELS: dict[str, tuple[Callable[[], bytes], str]] = {
    "sdxl": (empty({"conditioner.embedders.0.transformer.x": (2,), FIRST: (32, 4, 3, 3), OUT: (4, 32, 3, 3)}), "Diffusion XL"),
    "sdxl-unet": (empty({"add_embedding.linear_1.weight": (4, 4), "conv_in.weight": (32, 4, 3, 3)}), "Diffusion XL"),
    "sdxl-by-width": (empty({FIRST: (320, 4, 3, 3), OUT: (4, 320, 3, 3), CROSS: (2, 2048)}), "Diffusion XL"),
    "sd2": (empty({"cond_stage_model.model.ln_final.weight": (1024,), FIRST: (32, 4, 3, 3)}), "Diffusion 2"),
    "sd2-by-width": (empty({FIRST: (320, 4, 3, 3), OUT: (4, 320, 3, 3), CROSS: (320, 1024)}), "Diffusion 2"),
    "sd3": (empty({f"{UNET}joint_blocks.0.x_block.attn.qkv.weight": (2, 2)}), "Diffusion 3"),
    "sd3-diffusers": (empty({"transformer_blocks.0.attn.add_k_proj.weight": (2, 2)}), "Diffusion 3"),
    "flux": (empty({"double_blocks.0.img_attn.qkv.weight": (2,)}), "Flux"),
    "flux-diffusers": (empty({"single_transformer_blocks.0.attn.to_q.weight": (2, 2)}), "Flux"),
    "inpainting": (empty({FIRST: (320, 9, 3, 3), OUT: (4, 320, 3, 3), CROSS: (320, 768)}), "9 channels"),
    "pix2pix": (empty({FIRST: (320, 8, 3, 3), OUT: (4, 320, 3, 3), CROSS: (320, 768)}), "8 channels"),
    "other-size": (empty({FIRST: (192, 4, 3, 3), OUT: (4, 192, 3, 3), CROSS: (192, 768)}), "another size"),
    "lora-kohya": (empty({f"{LORA}.lora_down.weight": (4, 768), f"{LORA}.lora_up.weight": (320, 4), f"{LORA}.alpha": ()}), "kohya.*1\\.5"),
    "lora-kohya-sdxl": (empty({f"{LORA}.lora_down.weight": (4, 2048), f"{LORA}.lora_up.weight": (320, 4)}), "XL"),
    "lora-kohya-sd2": (empty({f"{LORA}.lora_down.weight": (4, 1024), f"{LORA}.lora_up.weight": (320, 4)}), "Diffusion 2"),
    "lora-locon": (empty({"lora_unet_conv_in.lora_down.weight": (4, 4, 3, 3), "lora_unet_conv_in.lora_up.weight": (32, 4, 1, 1)}), "LoCon"),
    "lora-loha": (empty({"lora_unet_x.hada_w1_a": (4, 4)}), "LoHa"),
    "lora-lokr": (empty({"lora_unet_x.lokr_w1": (4, 4)}), "LoKr"),
    "lora-diffusers": (empty({"unet.x.attn2.to_k.lora_A.weight": (4, 768), "unet.x.attn2.to_k.lora_B.weight": (320, 4)}), "diffusers.*1\\.5"),
    "lora-peft": (empty({"base_model.model.x.attn2.to_k.lora_A.weight": (4, 768)}), "PEFT"),
    "lora-old": (empty({"x.attn2.processor.to_k_lora.down.weight": (4, 768)}), "before 0.20"),
    "lora-flux": (empty({"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (4, 3072)}), "Flux"),
    "controlnet": (empty({"control_model.input_hint_block.0.weight": (16, 3, 3, 3)}), "ControlNet"),
    "controlnet-diffusers": (empty({"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)}), "ControlNet"),
    "embedding": (empty({"emb_params": (4, 768)}), "textual inversion for Stable Diffusion 1"),
    "embedding-sdxl": (empty({"clip_g": (4, 1280), "clip_l": (4, 768)}), "textual inversion for Stable Diffusion XL"),
    "embedding-diffusers": (empty({"<anna>": (768,)}), "textual inversion"),
    "motion-module": (empty({"down_blocks.0.motion_modules.0.x": (2,)}), "motion"),
    "ip-adapter": (empty({"ip_adapter.1.to_k_ip.weight": (2, 2)}), "IP-Adapter"),
    "upscaler": (empty({"model.1.sub.0.RDB1.conv1.0.weight": (2, 2)}), "upscaler"),
    "unknown": (empty({"something.else": (3,)}), "no model"),
    "vae-alone": (lambda: save({k: v for k, v in tiny().items() if k.startswith("first_stage")}), "VAE alone.*base"),
    "unet-alone": (lambda: save({k: v for k, v in tiny().items() if k.startswith(UNET)}), "UNet alone.*base"),
    "without-text-encoder": (lambda: save({k: v for k, v in tiny().items() if not k.startswith("cond")}), "text encoder.*base"),
    "nan-unet": (changed(OUT, first_number(float("nan"))), f"{OUT} holds NaN"),
    "nan-vae": (changed(VAE_KEY, first_number(float("nan"))), f"{VAE_KEY} holds NaN"),
    "nan-text-encoder": (changed(TEXT_KEY, first_number(float("nan"))), f"{TEXT_KEY} holds NaN"),
    "infinity": (changed(OUT, first_number(float("inf"))), f"{OUT} holds NaN or inf"),
    "minus-infinity": (changed(OUT, first_number(float("-inf"))), f"{OUT} holds NaN or inf"),
    "too-large-for-fp16": (changed(OUT, first_number(1e9)), "too large"),
    "wrong-shape": (changed(VAE_KEY, lambda tensor: tensor[..., :1]), "shape"),
    "whole-numbers": (changed(VAE_KEY, lambda tensor: tensor.to(torch.int8)), "whole numbers"),
    "tensor-missing": (changed(TEXT_KEY, lambda _: None), f"lacks the tensor {TEXT_KEY}"),
}  # fmt: skip
