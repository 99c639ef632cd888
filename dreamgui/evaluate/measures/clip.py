"""CLIP-T and CLIP-I with a CLIP of the user's, or CLIP-I with the vision tower of a model folder's safety checker.

Radford et al. 2021, https://arxiv.org/abs/2103.00020. The cosine is raw: .30, .76 and 30 are one picture's CLIP-T in three
papers, by model and scale, so the model's name goes with each number. It runs on the processor, as the device's memory
belongs to the model that generates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.photos.load import load_image
from dreamgui.errors import BadInput
from dreamgui.evaluate.measures.identity import LEAST_HELD_OUT
from dreamgui.evaluate.measures.recogniser import unit
from dreamgui.models.sources.hub import reachable

SAFETY = "safety_checker"


class Clip:
    """A CLIP.

    Attributes:
        name: the model with its patch and picture size, that stands beside every number.
        reads_text: whether CLIP-T can be taken.

    Args:
        place: folder of a CLIP, of a Stable Diffusion model with a safety checker, or an id on the hub.

    Raises:
        BadInput: there is no such CLIP, it can't be read, or the hub can't be reached.
    """

    def __init__(self, place: Path) -> None:
        checker = place / SAFETY
        self.reads_text = not checker.is_dir()
        try:
            load = self._clip if self.reads_text else self._tower
            config = load(place if self.reads_text else checker)
        except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
            raise BadInput(
                f"No CLIP can be read from {place}: {str(error).splitlines()[0][:150]}",
                "Choose a folder with config.json, model.safetensors and the tokenizer, or a hub id.",
            ) from error
        told = (
            f"{place.name}'s {SAFETY}"
            if checker.is_dir()
            else place.as_posix()
            if not place.is_dir()
            else place.name
        )
        commit = getattr(config, "_commit_hash", None)
        vision = config.vision_config
        at = f"@{commit[:12]}" if commit else ""
        self.name = (
            f"CLIP {told}{at} (patch {vision.patch_size}, {vision.image_size} px, cosine not times 100)"
        )

    def _clip(self, place: Path) -> Any:
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        local = place.is_dir()
        if not local and not reachable():
            raise OSError("it is no folder, and the hub can't be reached")
        source = str(place) if local else place.as_posix()
        # Weights that are pickled would run code.
        model = CLIPModel.from_pretrained(source, use_safetensors=True, local_files_only=local)
        self._model: Any = model.eval().requires_grad_(False)
        self._tokenizer: Any = CLIPTokenizer.from_pretrained(source, local_files_only=local)
        self._processor: Any = CLIPImageProcessor.from_pretrained(source, local_files_only=local)
        return model.config

    def _tower(self, place: Path) -> Any:
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        checker = StableDiffusionSafetyChecker.from_pretrained(place, use_safetensors=True)
        self._model = checker.eval().requires_grad_(False)
        size = checker.config.vision_config.image_size
        self._processor = CLIPImageProcessor(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}
        )
        return checker.config

    @torch.no_grad()
    def picture(self, image: Image.Image) -> np.ndarray:
        """Return a picture's unit vector [n] float32.

        Args:
            image: RGB, of any size.
        """
        pixels = self._processor(images=[image.convert("RGB")], return_tensors="pt")["pixel_values"]
        model = self._model
        pooled = (model.vision_model(pixel_values=pixels)).pooler_output
        return unit(model.visual_projection(pooled)[0].float().numpy())

    @torch.no_grad()
    def text(self, prompt: str) -> np.ndarray | None:
        """Return a prompt's unit vector [n] float32, of its first 77 tokens, or None where only the vision tower is there."""
        if not self.reads_text:
            return None
        tokens = self._tokenizer([prompt], truncation=True, max_length=77, return_tensors="pt")
        pooled = self._model.text_model(**tokens).pooler_output
        return unit(self._model.text_projection(pooled)[0].float().numpy())


class ClipJudge:
    """Scores pictures against their prompts and the crops of a dataset.

    Args:
        clip: the network.
        crops: references, RGB.
    """

    def __init__(self, clip: Clip, crops: Sequence[Image.Image]) -> None:
        self.name = clip.name
        self._clip = clip
        self._crops = np.stack([clip.picture(crop) for crop in crops]) if crops else None
        self._texts: dict[str, np.ndarray | None] = {}

    def scores(self, image: Image.Image, prompt: str) -> dict[str, float | None]:
        """Return ``clip_t`` and ``clip_i``, each -1 to 1, or None where it can't be taken.

        Args:
            image: RGB.
            prompt: as the picture was asked for, with the person's token.
        """
        if prompt not in self._texts:
            self._texts[prompt] = self._clip.text(prompt)
        text, picture = self._texts[prompt], self._clip.picture(image)
        return {
            "clip_t": None if text is None else float(picture @ text),
            "clip_i": None if self._crops is None else float((self._crops @ picture).mean()),
        }


def clip_judge(place: Path, dataset: Dataset) -> ClipJudge:
    """Return the judge with a dataset's crops as references: held-out ones where there are three and more, else all.

    Raises:
        BadInput: there is no such CLIP.
    """
    aside = [path for path, _ in dataset.held_out()]
    paths = (
        aside
        if len(dataset.held_out_photographs) >= LEAST_HELD_OUT
        else [*aside, *(p for p, _ in dataset.images())]
    )
    return ClipJudge(Clip(place), [load_image(path) for path in paths])
