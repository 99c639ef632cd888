"""Place of a LoRA's tensors: a file, or a folder as peft or diffusers writes it. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from dreamgui.errors import BadModelFile

_CONFIG = "adapter_config.json"
_PEFT = "adapter_model"
_WEIGHTS = tuple(
    f"{stem}.{ending}" for stem in (_PEFT, "pytorch_lora_weights") for ending in ("safetensors", "bin")
)
_MOST_BYTES = 1_000_000


def lora_files_at(path: Path) -> list[Path]:
    """The files of a LoRA: the file itself, one in a folder, or one each in its ``unet`` and ``text_encoder``, or none
    where there is no LoRA at this path."""
    if path.is_file():
        return [path]
    if own := _weights(path):
        return [own]
    return [file for part in ("unet", "text_encoder") if (file := _weights(path / part))]


def settings_beside(file: Path) -> str | None:
    """The text of peft's ``adapter_config.json`` beside its weights, or None where there is none.

    Raises:
        BadModelFile: it can't be read.
    """
    config = file.with_name(_CONFIG)
    if not file.name.startswith(_PEFT) or not config.is_file():
        return None
    try:
        if config.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        return config.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BadModelFile(f"{config} can't be read: {error}.", "Train or download it again.") from error


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
