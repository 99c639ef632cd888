"""Which of kohya's folders hold class pictures."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from dreamgui.data.exchange.beside import class_folders


@pytest.mark.parametrize(
    ("folders", "wanted"),
    [
        (["10_sks woman", "1_woman"], {"1_woman"}),
        (["img/10_sks Woman", "reg/1_woman"], {"reg/1_woman"}),
        (["img/10_anna", "regularization/10_person"], {"regularization/10_person"}),
        (["10_sks woman", "5_ohwx man", "1_woman", "1_man"], {"1_woman", "1_man"}),
        (["10_anna", "5_photo of anna"], set()),
        (["10_sks woman", "5_sks woman smiling"], set()),
        (["1_woman"], set()),
        (["reg/1_woman", "reg/1_man"], set()),
        (["holiday", "2024_summer", "woman"], set()),
    ],
)
def test_class_folders_are_told_from_the_subjects(folders: list[str], wanted: set[str]) -> None:
    pairs = class_folders([PurePosixPath(folder) / "a.jpg" for folder in folders])
    assert {str(folder) for folder in pairs} == wanted
    assert not set(pairs) & set(pairs.values())
