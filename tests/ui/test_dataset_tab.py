"""The dataset tab: sizes to choose from, and what strangers don't see of it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from dreamgui.data.dataset import Dataset
from dreamgui.models.cards import MODEL_CARD
from dreamgui.ui.build import create_ui
from dreamgui.ui.tabs.dataset import SIZES_PX, size_choices
from dreamgui.ui.tabs.dataset_review import Review
from tests.diffusion.made import make_dataset
from tests.ui.fakes import add_base, fake_services


def test_the_size_that_a_model_trains_at_can_be_chosen(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    add_base(services.workspace, "portraits")
    size_px = services.catalog.card("portraits").size_px
    choices = size_choices(services)
    assert any(size == size_px and "portraits" in label for label, size in choices)
    assert {size for _, size in choices} == {*SIZES_PX, size_px}
    (services.catalog.folder("portraits") / MODEL_CARD).write_text("{")
    assert [size for _, size in size_choices(services)] == list(SIZES_PX)


@pytest.mark.parametrize("local", [True, False])
def test_only_the_machines_user_may_name_a_folder_for_the_copy(tmp_path: Path, local: bool) -> None:
    blocks = create_ui(fake_services(tmp_path), local=local)
    names = {block.elem_id for block in blocks.blocks.values()}
    assert ("dataset-out" in names) == local and "dataset-photos" in names


def test_a_caption_that_is_being_written_is_not_written_over(tmp_path: Path) -> None:
    """What a change, or the same crop chosen again, shows comes while somebody may have begun to write."""
    services = fake_services(tmp_path)
    dataset = make_dataset(services.workspace)
    first, second = (entry.file for entry in dataset.entries[:2])
    with gr.Blocks():
        review = Review(services)
    caption = review.editor.outputs[-3]
    assert caption.elem_id == "dataset-caption"
    changed = review._change(Dataset.hold_out)("anna", first, True)
    assert changed[review.editor.file] == first and caption not in changed
    assert review._change(Dataset.set_caption)("anna", first, "a photo of her")[caption] == "a photo of her"
    replaced = review._change(lambda dataset, _: dataset.prefix_captions("best,"))("anna", first)
    assert replaced[caption] == "best, a photo of her"
    picked = gr.SelectData(None, {"index": 1, "value": None})
    assert review._select("anna", first, picked)[caption].startswith("best, ")
    assert caption not in review._select("anna", second, picked)
