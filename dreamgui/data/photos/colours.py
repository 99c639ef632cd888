"""Any colours to plain RGB: profiles, a PNG's own words on its colours, 16 bits, transparency."""

from __future__ import annotations

import io
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageCms

from dreamgui.data.photos import png_colours

_UNSEEN_STEPS = 2
_BAND_ROWS = 512
_CHANNELS = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, 8 bits a channel, sRGB colours, without metadata. Transparent parts become white.

    It is converted in bands of rows: of a large picture two copies are in memory at most.
    """
    rgb = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND_ROWS):
        band = image.crop((0, top, image.width, min(image.height, top + _BAND_ROWS)))
        rgb.paste(_band_to_rgb(band), (0, top))
    return rgb


def _band_to_rgb(image: Image.Image) -> Image.Image:
    grey = image.mode in ("L", "LA", "La", "1") or image.mode.startswith("I")
    profile = png_colours.profile(image.info, grey)
    alpha = None
    if image.mode.startswith("I"):
        image = _to_8_bit(image)
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        alpha = with_alpha.getchannel("A")
        image = with_alpha.convert("L" if grey else "RGB")
    rgb = _to_srgb(image, profile) if profile else image.convert("RGB")
    if alpha is not None:
        opaque = Image.new("RGB", rgb.size, "white")
        opaque.paste(rgb, mask=alpha)
        rgb = opaque
    return rgb


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey with 16 bits. Pillow's own conversion clips at 255 and makes it white."""
    grey = np.asarray(image).astype(np.uint32).clip(0, 65535) >> 8
    return Image.fromarray(grey.astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Telephones photograph in Display P3: read as sRGB, faces would turn pale."""
    found = _transform(profile)
    if found is None:
        return image.convert("RGB")
    mode, transform = found
    if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and image.mode != "L"):
        return image.convert("RGB")  # a profile of another picture
    return transform.apply(image if image.mode == mode else image.convert(mode))


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The profile's mode and its way to sRGB, or None for what can't be read, and for a profile that changes
    nothing one could see: whatever it is called, its colours are sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _CHANNELS.get(source.profile.xcolor_space.strip(), "")
        if not mode:
            return None
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "CMYK":
        return mode, transform
    chart = _chart().convert(mode)
    change = np.abs(np.asarray(transform.apply(chart), int) - np.asarray(chart.convert("RGB"), int)).max()
    return None if change <= _UNSEEN_STEPS else (mode, transform)


@cache
def _chart() -> Image.Image:
    """9 steps of each channel in all combinations, and all greys."""
    steps = np.linspace(0, 255, 9).round()
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    greys = np.repeat(np.arange(256)[:, None], 3, 1)
    return Image.fromarray(np.concatenate([colours, greys]).astype(np.uint8)[None])


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
