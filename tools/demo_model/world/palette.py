"""The colours of the drawn world, each with the word that captions use for it (RGB, 0 to 255)."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class HairColour:
    name: str
    rgb: Colour
    natural: bool


SKINS: tuple[Colour, ...] = (
    (255, 222, 198),
    (250, 205, 172),
    (241, 190, 150),
    (226, 170, 124),
    (205, 146, 100),
    (176, 117, 76),
    (142, 90, 58),
    (106, 67, 46),
)

HAIRS: tuple[HairColour, ...] = (
    HairColour("black", (40, 36, 42), True),
    HairColour("brown", (98, 60, 36), True),
    HairColour("chestnut", (140, 76, 44), True),
    HairColour("blond", (232, 192, 104), True),
    HairColour("red", (196, 74, 28), True),
    HairColour("grey", (156, 158, 166), True),
    HairColour("white", (236, 234, 232), True),
    HairColour("pink", (240, 120, 170), False),
    HairColour("blue", (52, 96, 206), False),
    HairColour("teal", (24, 152, 152), False),
    HairColour("green", (66, 152, 66), False),
    HairColour("purple", (128, 66, 168), False),
)

EYES: dict[str, Colour] = {
    "brown": (112, 66, 34),
    "dark": (58, 38, 30),
    "blue": (62, 128, 208),
    "green": (70, 150, 84),
    "grey": (128, 144, 158),
    "amber": (190, 126, 36),
}

LIPS: dict[str, Colour] = {
    "red": (204, 36, 46),
    "pink": (226, 96, 124),
    "plum": (132, 36, 78),
    "coral": (236, 98, 78),
    "nude": (190, 104, 92),
}

CLOTHS: dict[str, Colour] = {
    "red": (206, 44, 48),
    "blue": (44, 84, 190),
    "green": (40, 132, 74),
    "yellow": (244, 200, 56),
    "purple": (124, 62, 156),
    "pink": (244, 146, 180),
    "orange": (240, 128, 40),
    "white": (240, 240, 242),
    "black": (44, 44, 50),
    "teal": (28, 146, 150),
    "brown": (128, 84, 54),
    "grey": (138, 142, 150),
}

TROUSERS: tuple[Colour, ...] = ((52, 66, 108), (44, 44, 52), (112, 88, 66), (84, 92, 100), (150, 132, 104))

FRAMES: dict[str, Colour] = {
    "black": (34, 32, 36),
    "red": (192, 34, 44),
    "brown": (120, 70, 36),
    "blue": (40, 74, 168),
    "golden": (206, 160, 58),
}

EARRINGS: dict[str, Colour] = {
    "golden": (246, 198, 60),
    "silver": (216, 222, 232),
    "red": (214, 40, 60),
    "turquoise": (44, 196, 196),
}


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor below 1) or brighter (above 1), hue kept, cut at 255."""
    red, green, blue = (min(255, max(0, round(value * factor))) for value in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Linear mixture: share 0 is the first colour, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
