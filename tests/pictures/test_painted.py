"""Strokes of a mask: drawn in their order, and refused where they are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dreamgui.errors import BadInput
from dreamgui.pictures.painted import MOST_STROKES, Stroke, painted_mask, strokes_of

ACROSS = Stroke([(0.0, 0.5), (1.0, 0.5)], 0.2)
DOT = Stroke([(0.5, 0.5)], 0.1, erases=True)


def test_later_strokes_lie_over_earlier_ones() -> None:
    mask = np.asarray(painted_mask([ACROSS, DOT], (100, 60)))
    assert set(np.unique(mask)) == {0, 255}
    assert mask[30, 10] == mask[30, 90] == 255 and mask[30, 50] == 0
    assert not mask[:18].any() and not mask[43:].any()
    both = np.asarray(painted_mask([DOT, ACROSS], (100, 60)))
    assert both[30, 50] == 255
    assert (np.asarray(painted_mask([ACROSS, DOT], (100, 60), inverted=True)) == 255 - mask).all()


def test_what_a_browser_sends_is_read() -> None:
    sent = [{"points": [[0, 0.5], [1, 0.5]], "width": 0.2, "erase": False},
            {"points": [[0.5, 0.5]], "width": 0.1, "erase": True}]  # fmt: skip
    assert strokes_of(sent) == [ACROSS, DOT]
    assert strokes_of([{"points": [[7, -9]], "width": 50}]) == [Stroke([(2.0, -1.0)], 1.0)]


@pytest.mark.parametrize(
    "sent",
    [None, {}, [1], [{"points": [], "width": 0.1}], [{"points": [[0]], "width": 0.1}],
     [{"points": [[0, "1"]], "width": 0.1}], [{"points": [[0, float("nan")]], "width": 0.1}],
     [{"points": [[0, True]], "width": 0.1}], [{"points": [[0, 0]]}],
     [{"points": [[0, 0]], "width": 0.1}] * (MOST_STROKES + 1)],
)  # fmt: skip
def test_what_is_no_list_of_strokes_is_refused(sent: Any) -> None:
    with pytest.raises(BadInput, match="list of strokes"):
        strokes_of(sent)
