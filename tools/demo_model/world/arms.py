"""Arms, sleeves and hands."""

from __future__ import annotations

import numpy as np

from .body import Body, tones
from .canvas import Canvas, oval, ribbon
from .palette import Colour, shade

_SHORT_SLEEVED = ("t-shirt", "dress")


def paint_arms(canvas: Canvas, body: Body, in_front: bool) -> None:
    """The arms that lie over the torso (crossed, on the hips), or the others, which it partly hides."""
    for name, side in (("left", -1), ("right", 1)):
        inwards = side * (body.joints[f"{name} wrist"][0] - body.joints[f"{name} elbow"][0]) < -0.2
        if inwards == in_front:
            _paint_arm(canvas, body, name)


def _paint_arm(canvas: Canvas, body: Body, name: str) -> None:
    unit, skin = body.unit_px, body.who.skin
    man = body.who.gender == "man"
    shoulder, elbow, wrist = (body.joints[f"{name} {joint}"] for joint in ("shoulder", "elbow", "wrist"))
    thick = (1.12 if man else 1.0) * unit
    _paint_hand(canvas, body, name, skin)
    short = body.scene.outfit in _SHORT_SLEEVED
    if short:
        _limb(canvas, body, (shoulder, elbow, wrist), (0.54 * thick, 0.46 * thick, 0.34 * thick), skin)
        cuff = shoulder * 0.32 + elbow * 0.68
        middle = (shoulder + cuff) / 2
        _limb(canvas, body, (shoulder, middle, cuff), (0.72 * thick, 0.74 * thick, 0.7 * thick), body.cloth)
    else:
        _limb(canvas, body, (shoulder, elbow, wrist), (0.72 * thick, 0.64 * thick, 0.5 * thick), body.cloth)


def _limb(
    canvas: Canvas, body: Body, joints: tuple[np.ndarray, ...], widths: tuple[float, ...], colour: Colour
) -> None:
    """An arm's part through three joints (body units) with those widths (px), edged in a darker tone."""
    places = [body.at(joint) for joint in joints]
    for edge, tone in ((0.07 * body.unit_px, shade(colour, 0.66)), (0.0, colour)):
        upper = np.linspace(places[0], places[1], 5)
        lower = np.linspace(places[1], places[2], 5)
        grow = edge * np.array([0.0, 0.5, 1.0, 1.0, 1.0])
        parts = (
            ribbon(upper, np.linspace(widths[0], widths[1], 5) + grow),
            ribbon(lower, np.linspace(widths[1], widths[2], 5) + edge),
            _joint(places[0], widths[0]),
            _joint(places[1], widths[1] + edge),
        )
        with canvas.inside(parts[0], tone, more=parts[1:]) as layer:
            if not edge:
                layer.wash(tones(shade(colour, 0.97), body.scene.light_side))


def _joint(place_px: np.ndarray, width_px: float) -> np.ndarray:
    return oval(place_px[0], place_px[1], width_px / 2, width_px / 2, steps=20)


def _paint_hand(canvas: Canvas, body: Body, name: str, skin: Colour) -> None:
    unit, side = body.unit_px, -1 if name == "left" else 1
    elbow, wrist = body.joints[f"{name} elbow"], body.joints[f"{name} wrist"]
    along = (wrist - elbow) / np.hypot(*(wrist - elbow))
    across = np.array([-along[1], along[0]]) * side
    tone = shade(skin, 0.98)
    palm = wrist + along * 0.24
    turn = float(np.arctan2(along[1], along[0]))
    centre = body.at(palm)
    spread = along[1] < -0.5
    for index in range(4 if spread else 0):
        offset = (index - 1.5) * 0.11
        tip = palm + along * (0.58 - 0.05 * abs(index - 1.5)) + across * offset * 1.9
        canvas.stroke(np.linspace(body.at(palm + across * offset), body.at(tip), 3), 0.125 * unit, tone)
    thumb = body.at(
        np.stack(
            [palm - across * 0.08, palm - across * 0.3 + along * 0.12, palm - across * 0.34 + along * 0.26]
        )
    )
    canvas.stroke(thumb, 0.14 * unit, shade(skin, 0.9))
    canvas.fill(oval(centre[0], centre[1], 0.28 * unit, 0.24 * unit, turn), tone)
    if not spread:
        tip = body.at(palm + along * 0.24)
        canvas.fill(oval(tip[0], tip[1], 0.24 * unit, 0.19 * unit, turn), tone)
