"""The sizes of the demo model: Stable Diffusion 1.5's own classes and conventions, made small.

``python architecture.py`` prints the parameters and the fp16 megabytes of each part.
"""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SIZE_PX = 160
LATENT_PX = SIZE_PX // 8
LATENT_CHANNELS = 4
TOKENS = 77
VOCABULARY = 49408
TEXT_WIDTH = 64
# Stable Diffusion 1.5's own; train_vae.py folds the latents' real spread into the VAE's 1x1 convolutions.
SCALING_FACTOR = 0.18215
TOKENIZER = Path(__file__).resolve().parents[2] / "assets" / "sd15" / "tokenizer"
CONTROL_KINDS = ("canny", "pose")


def new_vae() -> AutoencoderKL:
    """Factor 8, 4 channels. 8 norm groups: 32 would leave a group one channel at full size."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE_PX,
        scaling_factor=SCALING_FACTOR,
    )


def new_text_encoder() -> CLIPTextModel:
    """CLIP's text transformer over CLIP's full vocabulary, at random."""
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        hidden_act="quick_gelu",
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
    return CLIPTextModel(config)


def new_unet() -> UNet2DConditionModel:
    """Stable Diffusion 1.5's pattern: attention at each level but the lowest, and in the middle.

    As in its config.json, ``attention_head_dim`` is the number of heads.
    """
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 96, 128),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
    )


def new_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A copy of the UNet's encoder with zero convolutions, reading a full-size map."""
    return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 32, 48))


def new_scheduler() -> PNDMScheduler:
    """Stable Diffusion 1.5's scheduler and betas."""
    return PNDMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def load_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer from the repository's own assets/sd15."""
    return CLIPTokenizer.from_pretrained(str(TOKENIZER))


def main() -> None:
    unet = new_unet()
    parts = {
        "vae": new_vae(),
        "text_encoder": new_text_encoder(),
        "unet": unet,
        "controlnet": new_controlnet(unet),
    }
    for name, part in parts.items():
        count = sum(parameter.numel() for parameter in part.parameters())
        print(f"{name:14s} {count / 1e6:6.2f} M parameters {2 * count / 1e6:6.2f} MB in fp16")


if __name__ == "__main__":
    main()
