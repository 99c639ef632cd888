"""Any colours to plain RGB: profiles, 16 bits, transparency."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageCms


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, 8 bits a channel, sRGB colours, without metadata; transparent parts white."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = _to_8_bit(image)
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        pasted = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(pasted, mask=pasted.getchannel("A"))
    rgb = _to_srgb(image, profile) if profile and image.mode in ("RGB", "CMYK") else image.convert("RGB")
    rgb.info.clear()
    return rgb


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey with 16 bits; Pillow's own conversion clips at 255 and makes it white."""
    grey = np.asarray(image).astype(np.uint32).clip(0, 65535) >> 8
    return Image.fromarray(grey.astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Telephones photograph in Display P3: read as sRGB, faces would turn pale."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower() and image.mode == "RGB":
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")
    return converted or image.convert("RGB")


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
