"""The drawn world: people with a fixed identity in changing scenes, drawn with polygons."""

from .drawing import SIZE_PX, Drawing, draw
from .identity import Identity, identity
from .scene import PLACE_PHRASES, PLACES, Scene, scene
from .words import HELD_BACK, NAME_SEED0, NAMES, captions

__all__ = [
    "HELD_BACK",
    "NAMES",
    "NAME_SEED0",
    "PLACES",
    "PLACE_PHRASES",
    "SIZE_PX",
    "Drawing",
    "Identity",
    "Scene",
    "captions",
    "draw",
    "identity",
    "scene",
]
