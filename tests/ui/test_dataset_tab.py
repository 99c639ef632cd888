"""The dataset tab: sizes to choose from, and what strangers don't see of it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.entry import Entry
from dreamgui.models.catalog.cards import MODEL_CARD
from dreamgui.ui.build import create_ui
from dreamgui.ui.tabs.dataset.review import Review, _drop_flagged, _undo
from dreamgui.ui.tabs.dataset.tab import SIZES_PX, size_choices
from tests.diffusion.made import make_dataset
from tests.ui.fakes import add_base, fake_services, fake_visitor_services


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
    blocks = create_ui((fake_services if local else fake_visitor_services)(tmp_path))
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
    assert review._select("anna", first, False, [], picked)[caption].startswith("best, ")
    assert caption not in review._select("anna", second, False, [], picked)


def test_captions_that_another_program_changed_are_told_and_not_undone_unseen(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    dataset = make_dataset(services.workspace)
    first = dataset.entries[0]
    with gr.Blocks():
        review = Review(services)
    dataset.drop(first.file)
    dataset.path(dataset.entry(first.file)).with_suffix(".txt").write_text("by a tagger")
    shown = review._change(_undo)("anna", "")
    assert "another program" in shown[review._line] and "captions of another" in str(shown[review._undo])
    assert Dataset.load(dataset.folder).entry(first.file).caption == "by a tagger"
    review._change(_undo)("anna", "")
    assert Dataset.load(dataset.folder).entry(first.file).caption == first.caption


def test_all_flagged_crops_are_dropped_by_one_press_and_brought_back_by_one_undo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = fake_services(tmp_path)
    dataset = make_dataset(services.workspace)
    files = [entry.file for entry in dataset.entries]
    monkeypatch.setattr(
        Entry, "warnings", property(lambda entry: ("dark",) if entry.file in files[:2] else ())
    )
    with gr.Blocks():
        review = Review(services)
    shown = review.show("anna")
    [button] = [widget for widget in shown if widget.elem_id == "dataset-drop-flagged"]
    assert shown[button] == gr.update(value="Drop all flagged (2)", visible=True)
    dropped = review._change(_drop_flagged)("anna", "")
    assert dropped[button]["visible"] is False
    folder = services.workspace.place("datasets", "anna")
    assert [entry.dropped for entry in Dataset.load(folder).entries[:3]] == [True, True, False]
    review._change(_undo)("anna", "")
    assert not any(entry.dropped for entry in Dataset.load(folder).entries)


def test_many_crops_are_chosen_and_dropped_at_once(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    dataset = make_dataset(services.workspace)
    files = [entry.file for entry in dataset.entries]
    with gr.Blocks():
        review = Review(services)
    chosen: list[str] = []
    for place in (0, 1, 2, 1):
        picked = gr.SelectData(None, {"index": place, "value": None})
        updates = review._select("anna", "", True, chosen, picked)
        chosen = updates[review._picked]
    assert chosen == [files[0], files[2]]
    labels = [caption for _, caption in updates[review.gallery]]
    assert [label.startswith("\N{CHECK MARK}") for label in labels[:3]] == [True, False, True]
    review._drop_many("anna", "", True, [*chosen, "gone.png"])
    left = Dataset.load(dataset.folder)
    assert {entry.file for entry in left.entries if entry.dropped} == set(chosen)
    assert left.undo() == "drop 2 chosen"
    assert not any(entry.dropped for entry in Dataset.load(dataset.folder).entries)


def test_previous_and_next_go_round(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    files = [entry.file for entry in make_dataset(services.workspace).entries]
    with gr.Blocks():
        review = Review(services)
    onward, back = review._beside(1), review._beside(-1)
    assert onward("anna", files[0])[review.editor.file] == files[1]
    assert onward("anna", files[-1])[review.editor.file] == files[0]
    assert back("anna", files[0])[review.editor.file] == files[-1]
