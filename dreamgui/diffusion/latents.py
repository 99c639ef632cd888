"""Pictures become latents once: mean and spread as the autoencoder gives them, kept on the disk."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dreamgui.diffusion.sample import PICTURE_BYTES, pictures_at_once
from dreamgui.diffusion.text import encode_prompts, tokenize
from dreamgui.diffusion.transfer import send
from dreamgui.errors import Damaged
from dreamgui.models.device import free_bytes
from dreamgui.ops.channels_last import channels_last
from dreamgui.workspace import write_atomic

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts


Box = tuple[float, float, float, float]
_READERS = 4
_AMPLE = 40
"""So much room that many pictures at once are far from a training's peak: 22 GiB."""


class Picture(NamedTuple):
    """A square picture to train on.

    ``face`` is x0, y0, x1, y1 as fractions of the side, None where it isn't known; a ``mirrored`` picture is
    turned left to right, and its face with it.
    """

    path: Path
    caption: str
    face: Box | None = None
    mirrored: bool = False


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures and captions as the training needs them, on the device, in fp32.

    Attributes:
        mean, std: of each picture's latents, [n, 4, h, w], already scaled as the UNet knows them.
        text: embeddings of the different captions, [k, 77, d].
        caption: which of them belongs to each picture, [n], on the CPU.
        tokens: the different captions as a text encoder that is trained takes them, [k, 77].
        weight: of each latent in the loss, [n, 1, h, w], 1 on average over a picture; None weighs all alike.
    """

    mean: Tensor
    std: Tensor
    text: Tensor
    caption: Tensor
    tokens: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.mean)

    def latents(self, chosen: Tensor, noise: Tensor) -> Tensor:
        """Latents [b, 4, h, w] of the chosen pictures [b], drawn from their distribution with this noise."""
        chosen = send(chosen, self.mean.device)
        return self.mean[chosen] + self.std[chosen] * noise

    def embeddings(self, chosen: Tensor) -> Tensor:
        """Text embeddings [b, 77, d] of the chosen pictures [b]."""
        return self.text[send(self.caption[chosen], self.text.device)]

    def words(self, chosen: Tensor) -> Tensor | None:
        """Tokens [b, 77] of the chosen pictures' captions [b]."""
        return None if self.tokens is None else self.tokens[send(self.caption[chosen], self.tokens.device)]

    @torch.no_grad()
    def embedded(self, text_encoder: Any) -> EncodedPictures:
        """The same pictures with the captions as this text encoder, which has trained, sees them."""
        if self.tokens is None:
            return self
        text = torch.cat([text_encoder(tokens[None])[0] for tokens in self.tokens])
        return replace(self, text=text.float())


def encode_pictures(
    parts: Parts, pictures: Sequence[Picture], cache: Path, face_weight: float = 1.0
) -> Generator[tuple[int, int], None, EncodedPictures]:
    """Encode pictures, and yield ``(done, total)`` on the way.

    Args:
        cache: a safetensors file of what was encoded before, by content of picture and name of base model;
            it is written anew when something was missing.
        face_weight: how much a face's area counts in the loss, 1 for like the rest.

    Raises:
        Damaged: a picture can't be read.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        keys = list(pool.map(partial(_key, parts), pictures))
    known = _read(cache)
    moments = {key: known[key] for key in keys if key in known}
    missing = list({key: one for key, one in zip(keys, pictures, strict=True) if key not in moments}.items())
    size_px, done = parts.card.size_px, len(pictures) - len(missing)
    room = _encoded_at_once(parts.device, size_px)
    with ThreadPoolExecutor(_READERS) as pool:
        # A card takes less time for a picture than to unpack it, so some are unpacked ahead.
        unpack = partial(_pixels, size_px=size_px)
        pixels = _ahead(pool, unpack, [picture for _, picture in missing], 2 * _READERS)
        for start in range(0, len(missing), room):
            batch = [key for key, _ in missing[start : start + room]]
            found = _moments(parts, torch.stack(list(islice(pixels, len(batch)))))
            moments.update(zip(batch, found, strict=True))
            done += len(batch)
            yield done, len(pictures)
    if missing:
        # Pictures that this set leaves out may be in the next one.
        write_atomic(cache, save({**known, **moments}))
    return _together(parts, [moments[key] for key in keys], pictures, face_weight)


def _encoded_at_once(device: torch.device, size_px: int) -> int:
    """The memory of eight at 512 pixels would be the peak of a small training, so a GPU with little room takes one."""
    room = pictures_at_once(device, size_px, size_px)
    if device.type != "cuda" or free_bytes(device) > _AMPLE * PICTURE_BYTES:
        return room
    return max(1, room // 8)


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Picture], Tensor], pictures: Sequence[Picture], count: int
) -> Iterator[Tensor]:
    """``map`` by threads that are at most ``count`` pictures ahead."""
    coming: deque[Future[Tensor]] = deque()
    for picture in pictures:
        coming.append(pool.submit(work, picture))
        if len(coming) > count:
            yield coming.popleft().result()
    yield from (each.result() for each in coming)


def face_weights(pictures: Sequence[Picture], height: int, width: int, face_weight: float) -> Tensor | None:
    """Weights [n, 1, height, width] of latents, 1 on average over each picture, or None where all count alike.

    A latent that a face covers in part counts for that part.
    """
    if face_weight == 1 or not any(picture.face for picture in pictures):
        return None
    maps = torch.stack([_coverage(picture, height, width) for picture in pictures])
    weights = 1 + (face_weight - 1) * maps
    return weights[:, None] / weights.mean(dim=(1, 2)).view(-1, 1, 1, 1)


def _coverage(picture: Picture, height: int, width: int) -> Tensor:
    """Return which share of each latent the face covers, [height, width]."""
    if picture.face is None:
        return torch.zeros(height, width)
    x0, y0, x1, y1 = picture.face
    if picture.mirrored:
        x0, x1 = 1 - x1, 1 - x0
    return _overlap(y0, y1, height)[:, None] * _overlap(x0, x1, width)[None]


def _overlap(start: float, end: float, count: int) -> Tensor:
    """Return which share of each of ``count`` equal parts of 0..1 lies between start and end."""
    edges = torch.arange(count + 1) / count
    return ((edges[1:].clamp(max=end) - edges[:-1].clamp(min=start)) * count).clamp(min=0)


@torch.no_grad()
def _moments(parts: Parts, pixels: Tensor) -> Tensor:
    """Scaled mean and deviation of pictures [b, 3, H, W], -1..1, as [b, 2, 4, h, w] in fp32 on the CPU."""
    vae: Any = parts.vae
    with channels_last(parts.device):
        latents = vae.encode(pixels.to(parts.device, vae.dtype)).latent_dist
    both = torch.stack([latents.mean, latents.std], dim=1) * vae.config.scaling_factor
    return both.float().cpu().contiguous()


def _together(
    parts: Parts, moments: list[Tensor], pictures: Sequence[Picture], face_weight: float
) -> EncodedPictures:
    mean, std = torch.stack(moments).to(parts.device).unbind(1)
    captions = [picture.caption for picture in pictures]
    texts = encode_prompts(parts.text_encoder, parts.tokenizer, captions)
    place = {caption: index for index, caption in enumerate(texts)}
    weight = face_weights(pictures, *mean.shape[-2:], face_weight)
    return EncodedPictures(
        mean=mean.contiguous(),
        std=std.contiguous(),
        text=torch.cat(list(texts.values())).float(),
        caption=torch.tensor([place[caption] for caption in captions]),
        tokens=torch.cat([tokenize(parts.tokenizer, text) for text in texts]).to(parts.device),
        weight=None if weight is None else weight.to(parts.device),
    )


def _pixels(picture: Picture, size_px: int) -> Tensor:
    """A square picture as [3, size, size], -1..1."""
    try:
        with Image.open(picture.path) as file:
            image = file.convert("RGB")
    except OSError as error:
        raise Damaged(
            f"The picture {picture.path} can't be read: {error}.", "Crop the photographs again."
        ) from error
    if image.size != (size_px, size_px):
        image = image.resize((size_px, size_px), Image.Resampling.LANCZOS)
    if picture.mirrored:
        image = ImageOps.mirror(image)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1


def _key(parts: Parts, picture: Picture) -> str:
    """Changes with the picture, the autoencoder, its dtype and the size."""
    card = parts.card
    kind = f"{card.name} {card.sha256} {card.size_px} {parts.vae.dtype} {'mirrored ' * picture.mirrored}"
    return hashlib.sha256(kind.encode() + picture.path.read_bytes()).hexdigest()[:32]


def _read(cache: Path) -> dict[str, Tensor]:
    try:
        return load_file(cache) if cache.exists() else {}
    except (OSError, SafetensorError):
        return {}
