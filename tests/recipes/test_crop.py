from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from PIL import Image, ImageEnhance

from dreamgui import cli
from dreamgui.config import CropJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.exchange.exchange import export_zip
from dreamgui.errors import BadInput, NotEnoughDisk, NotEnoughPhotos, OutOfRange, StopRequested
from dreamgui.events import Cropped, Event, Note, Progress, Saved, Skipped
from dreamgui.models.manager import Models
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace

NO_MODELS = cast(Models, None)
Kind = TypeVar("Kind", bound=Event)


def packaged(package: str, file: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / file


ASTRONAUT = packaged("skimage", "data/astronaut.png")
HOPPER = packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")
COFFEE = packaged("skimage", "data/coffee.png")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def stream(workspace: Workspace, photos: Sequence[Path], **settings: Any) -> Iterator[Event]:
    return crop(CropJob(photos=tuple(photos), **settings), workspace, NO_MODELS)


def of(kind: type[Kind], events: Sequence[Event]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def test_real_photographs_become_a_data_set(workspace: Workspace) -> None:
    events = list(stream(workspace, [ASTRONAUT, HOPPER], dataset="two people"))
    crops, (saved,) = of(Cropped, events), of(Saved, events)
    assert {event.source for event in crops} == {"astronaut.png", "grace_hopper.jpg"}
    assert (saved.what, saved.name) == ("dataset", "two-people") and events[-1] is saved
    dataset = Dataset.load(saved.path)
    assert [event.saved for event in crops] == [path for path, _ in dataset.images()]
    assert all(Image.open(event.saved).size == (512, 512) for event in crops)
    assert [event.box for event in crops] == [entry.box for entry in dataset.entries]
    looks = [event for event in of(Progress, events) if event.label == "Looking for faces"]
    # A slow machine beats in between.
    assert list(dict.fromkeys(event.done for event in looks if event.done)) == [1, 2] and looks[0].total == 2
    notes = " ".join(note.text for note in of(Note, events))
    assert "are few; from 15 on" in notes and "called two-people" in notes


def test_a_bad_file_is_named_and_the_others_go_on(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear Anna")
    (tmp_path / "half.png").write_bytes(ASTRONAUT.read_bytes()[:50_000])
    Image.open(HOPPER).convert("RGB").save(tmp_path / "film.jpg", "GIF")
    tiny = Image.open(ASTRONAUT).convert("RGB").resize((200, 200))
    tiny.save(tmp_path / "tiny.png")
    far = Image.new("RGB", (2000, 2000), (90, 110, 90))
    far.paste(Image.open(ASTRONAUT).convert("RGB").resize((120, 120)), (1000, 900))
    far.save(tmp_path / "far.png")
    bad = ["letter.jpg", "half.png", "film.jpg", "tiny.png", "far.png", "gone.jpg"]
    events = list(
        stream(workspace, [*(tmp_path / name for name in bad), COFFEE, HOPPER], max_enlargement=1.3)
    )
    reasons = {event.source: event.reason for event in of(Skipped, events)}
    assert set(reasons) == {*bad, "coffee.png"}
    for name, words in zip(
        [*bad, "coffee.png"],
        (
            "plain text",
            "can't be read",
            "GIF",
            "a crop of 512 pixels needs",
            "too small",
            "isn't there",
            "No face",
        ),
        strict=True,
    ):
        assert name in reasons[name] and words in reasons[name], reasons[name]
    assert {event.source for event in of(Cropped, events)} == {"grace_hopper.jpg"}
    (saved,) = of(Saved, events)
    assert [path.name for path in (workspace.root / "uploads" / saved.name).iterdir()] == ["0008.jpg"]


def test_several_faces_and_a_cut_face_are_said(workspace: Workspace, tmp_path: Path) -> None:
    astronaut = Image.open(ASTRONAUT).convert("RGB")
    group = Image.new("RGB", (1324, 700), (200, 200, 200))
    group.paste(astronaut.resize((700, 700)), (0, 0))
    group.paste(astronaut, (800, 100))
    group.save(tmp_path / "group.png")
    Image.open(HOPPER).convert("RGB").crop((200, 0, 512, 600)).save(tmp_path / "cut.png")
    events = list(stream(workspace, [tmp_path / "group.png", tmp_path / "cut.png"], size_px=256))
    notes = [note.text for note in of(Note, events)]
    assert any("group.png: 2 faces" in text for text in notes)
    assert any("cut.png: the face touches the photograph's edge" in text for text in notes)
    for event in of(Cropped, events):
        if event.source == "group.png":
            assert event.box[2] < 850, "only the larger person is in the crop"


def test_no_usable_photograph_leaves_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    run = stream(workspace, [COFFEE])
    with pytest.raises(NotEnoughPhotos, match="among the files"):
        list(run)
    assert not workspace.names("datasets") and not workspace.names("uploads")


def test_only_where_there_is_a_list_of_reasons_it_is_spoken_of(workspace: Workspace, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "notes.txt").write_text("No photograph.")
    with pytest.raises(NotEnoughPhotos, match="There is no photograph among the files") as nothing:
        list(stream(workspace, [photos]))
    assert "list" not in str(nothing.value)
    for number in range(12):
        (photos / f"{number}.nef").write_bytes(b"MM\0*" + bytes(3000))
    with pytest.raises(NotEnoughPhotos, match="There is no photograph among the files.*the list says why"):
        list(stream(workspace, [photos]))
    (photos / "coffee.png").write_bytes(COFFEE.read_bytes())
    with pytest.raises(NotEnoughPhotos, match=r"usable face is among the files \(1\)"):
        list(stream(workspace, [photos]))


def test_faces_of_which_none_is_large_enough_are_told(workspace: Workspace, tmp_path: Path) -> None:
    Image.open(ASTRONAUT).convert("RGB").resize((200, 200)).save(tmp_path / "tiny.png")
    run = stream(workspace, [tmp_path / "tiny.png"], max_enlargement=1.0)
    with pytest.raises(NotEnoughPhotos, match="None of the 1 faces is usable at 512 pixels"):
        list(run)
    assert not workspace.names("datasets") and not workspace.names("uploads")


def test_shares_above_one_are_refused(workspace: Workspace) -> None:
    with pytest.raises(OutOfRange, match="more than 1"):
        list(stream(workspace, [HOPPER], close_up_share=0.8, medium_share=0.4))


def test_a_second_data_set_of_the_same_name_overwrites_nothing(workspace: Workspace) -> None:
    told = [list(stream(workspace, [HOPPER])) for _ in range(2)]
    first, second = (of(Saved, events)[0] for events in told)
    assert (first.name, second.name) == ("my-photos", "my-photos-2")
    assert Dataset.load(first.path).entries == Dataset.load(second.path).entries
    assert len(workspace.names("uploads")) == 2
    assert ["It is called my-photos-2" in str(events) for events in told] == [False, True]


def test_stop_keeps_the_crops_so_far(workspace: Workspace) -> None:
    run = stream(workspace, [ASTRONAUT, HOPPER])
    assert any(isinstance(event, Cropped) for event in run)
    assert hasattr(run, "throw")
    events = [run.throw(StopRequested()), *run]  # type: ignore[attr-defined]
    (saved,) = of(Saved, events)
    assert len(Dataset.load(saved.path).entries) == 1


def test_a_disk_that_fills_keeps_the_crops_so_far_and_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = Dataset.add, []

    def until_full(self: Dataset, *given: Any) -> Any:
        if added:
            raise NotEnoughDisk("The disk is full: 0002.png needs 188 kB; 0 kB are free.", "Make room.")
        added.append(add(self, *given))
        return added[-1]

    monkeypatch.setattr(Dataset, "add", until_full)
    with pytest.raises(NotEnoughDisk, match=r"0002\.png needs") as caught:
        list(stream(workspace, [ASTRONAUT, HOPPER], dataset="anna"))
    assert "Make room and crop again. The dataset 'anna' keeps 1 of " in caught.value.next_step
    assert len(Dataset.load(workspace.find("datasets", "anna")).entries) == 1


def test_stop_before_the_first_crop_leaves_nothing(workspace: Workspace) -> None:
    run = stream(workspace, [ASTRONAUT, HOPPER] * 3)
    next(run)
    with pytest.raises(StopRequested):
        run.throw(StopRequested())  # type: ignore[attr-defined]
    assert not workspace.names("datasets") and not workspace.names("uploads")


def lookalikes(folder: Path, count: int) -> list[Path]:
    """As many different photographs of the astronaut on large grounds: elsewhere, mirrored, lighter."""
    folder.mkdir()
    files = []
    for number in range(count):
        person = Image.open(ASTRONAUT).convert("RGB")
        if number % 2:
            person = person.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        person = ImageEnhance.Brightness(person).enhance(0.8 + 0.05 * number)
        scene = Image.new("RGB", (900, 900), (40 + 20 * number, 120, 200 - 20 * number))
        scene.paste((200, 30 * number % 250, 20), (0, 60 * number, 900, 60 * number + 150))
        scene.paste(person, (40 * number, 350 - 30 * number))
        files.append(folder / f"p{number}.jpg")
        scene.save(files[-1], quality=92)
    return files


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Dataset, list[Event], Path]:
    """A folder and a zip: eight photographs of the astronaut, in one beside a larger stranger, one stranger
    alone, one photograph twice, and a letter; with a copy of the result."""
    root = tmp_path_factory.mktemp("mixed")
    files = lookalikes(root / "trip", 8)
    together = Image.open(files[0])
    together.paste(Image.open(HOPPER).convert("RGB").resize((360, 420)), (540, 480))
    together.save(files[0], quality=92)
    Image.open(files[3]).resize((800, 800)).save(root / "trip" / "p3-small.jpg", quality=90)
    with zipfile.ZipFile(root / "more.zip", "w") as archive:
        archive.write(HOPPER, "../../stranger.jpg")
        archive.writestr("letter.jpg", "Dear Anna")
    workspace = Workspace(root / "home")
    events = list(stream(workspace, [root / "trip", root / "more.zip"], size_px=256, out=root / "out"))
    dataset = Dataset.load(next(event.path for event in of(Saved, events) if event.what == "dataset"))
    return workspace, dataset, events, root


Mixed = tuple[Workspace, Dataset, list[Event], Path]


def test_the_person_of_the_set_is_the_subject(mixed: Mixed) -> None:
    _, dataset, events, _ = mixed
    entries = {entry.source: entry for entry in dataset.entries}
    assert len(entries) == 10 and [event.source for event in of(Skipped, events)] == ["letter.jpg"]
    together = entries["p0.jpg"]
    assert len(together.others) == 1 and together.agreement and together.agreement > 0.6
    assert together.subject.size_px < together.others[0].size_px, "the stranger is larger"
    assert [name for name, entry in entries.items() if entry.someone_else] == ["stranger.jpg"]
    notes = " ".join(note.text for note in of(Note, events))
    assert (
        "stranger.jpg: someone else?" in notes and "p0.jpg: 2 faces; the person of the set was taken" in notes
    )


def test_near_copies_are_marked_and_said(mixed: Mixed) -> None:
    _, dataset, events, _ = mixed
    first = next(entry for entry in dataset.entries if entry.source == "p3-small.jpg")
    copies = [entry for entry in dataset.entries if entry.source == "p3.jpg"]
    assert first.quality and first.quality.near_duplicate == ""
    assert {entry.quality.near_duplicate for entry in copies if entry.quality} == {first.file}
    assert any(f"nearly the same as {first.file}" in note.text for note in of(Note, events))


def test_two_photographs_are_set_aside_and_named(mixed: Mixed) -> None:
    _, dataset, events, _ = mixed
    aside = dataset.held_out_photographs
    assert len(aside) == 2 and not {"stranger.jpg", "p3.jpg", "p3-small.jpg"} & set(aside)
    trained = {path.name for path, _ in dataset.images()}
    assert not trained & {entry.file for entry in dataset.entries if entry.source in aside}
    told = next(note.text for note in of(Note, events) if "never trained on" in note.text)
    assert all(name in told for name in aside)


def test_the_copy_is_a_whole_data_set_with_scores(mixed: Mixed) -> None:
    _, dataset, events, root = mixed
    saved = of(Saved, events)
    assert [event.what for event in saved] == ["dataset", "export"] and saved[1].path == root / "out"
    sheet = json.loads((root / "out" / "dataset.json").read_text("utf-8"))
    for entry in sheet["entries"]:
        assert entry["source"] and len(entry["box"]) == 4 and entry["framing"] and 0 < entry["score"] <= 1
        assert {"sharpness", "exposure", "face_px", "turn", "light", "near_duplicate"} <= set(
            entry["quality"]
        )
    assert {path.name for path, _ in dataset.images()} == {
        path.name for path in (root / "out" / "images").glob("*.png")
    }


def test_an_exported_zip_is_imported(mixed: Mixed) -> None:
    workspace, dataset, _, root = mixed
    path = export_zip(dataset, root / "whole.zip")
    events = list(stream(workspace, [path], dataset="from elsewhere"))
    (saved,) = of(Saved, events)
    assert saved.name == "from-elsewhere" and Dataset.load(saved.path).entries == dataset.entries
    assert len(of(Cropped, events)) == len(dataset.entries)


def test_the_copy_may_be_a_zip(mixed: Mixed, tmp_path: Path) -> None:
    """As from the command line: out of a zip, into a zip."""
    workspace, dataset, _, root = mixed
    whole, again = export_zip(dataset, tmp_path / "whole.zip"), tmp_path / "again.zip"
    events = list(stream(workspace, [whole], dataset="there and back", out=again))
    assert of(Saved, events)[-1] == Saved("export", "there-and-back", again)
    with zipfile.ZipFile(whole) as one, zipfile.ZipFile(again) as other:
        assert {n: one.read(n) for n in one.namelist() if n.endswith(".png")} == {
            n: other.read(n) for n in other.namelist() if n.endswith(".png")
        }
    with pytest.raises(BadInput, match="is no exported dataset"):
        next(stream(workspace, [HOPPER], out=root / "more.zip"))


def test_nothing_temporary_is_left_and_killed_jobs_are_swept(mixed: Mixed) -> None:
    workspace, dataset, _, _ = mixed
    uploads = workspace.root / "uploads"
    assert {path.name for path in uploads.iterdir()} == {dataset.folder.name}
    assert all(b"Exif" not in path.read_bytes() for path in (uploads / dataset.folder.name).iterdir())
    killed = uploads / ".incoming-killed"
    (killed / "photos").mkdir(parents=True)
    with pytest.raises(NotEnoughPhotos):
        list(stream(workspace, [COFFEE]))
    assert not killed.exists()


def test_holding_out_can_be_switched_off_and_needs_three(workspace: Workspace, tmp_path: Path) -> None:
    files = lookalikes(tmp_path / "few", 3)
    for photos, settings, aside in ((files, {}, 1), (files, {"hold_out": False}, 0), (files[:2], {}, 0)):
        events = list(stream(workspace, photos, size_px=64, **settings))
        dataset = Dataset.load(of(Saved, events)[0].path)
        said = any("No photograph is set aside" in note.text for note in of(Note, events))
        assert said == (not aside and not settings)
        assert len(dataset.held_out_photographs) == aside
        assert len(dataset.images()) + len(dataset.held_out()) == len(dataset.entries)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each photograph, and a folder that tells where each crop comes from."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for file in (ASTRONAUT, HOPPER):
        shutil.copy(file, photos)
    (photos / "letter.jpg").write_text("Dear Anna")
    asked = ["crop", str(photos), "--size-px", "128", "--no-hold-out", "--out", str(out)]
    assert cli.main(["--home", str(tmp_path / "home"), *asked]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.startswith("letter.jpg: skipped: letter.jpg is plain text") for row in rows)
    entries = json.loads((out / "dataset.json").read_text("utf-8"))["entries"]
    for source in ("astronaut.png", "grace_hopper.jpg"):
        (first, *_) = [entry for entry in entries if entry["source"] == source]
        row = f"{source}: {first['framing']} {tuple(first['box'])}, score {first['score']:.2f} -> {first['file']}"
        assert row in rows
    (job,) = (tmp_path / "home" / "jobs").glob("*/job.json")
    given = json.loads(job.read_text("utf-8"))
    assert given["kind"] == "crop" and CropJob.model_validate(given["job"]).size_px == 128


def test_a_taken_folder_for_the_copy_is_refused_at_once(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(BadInput, match=r"holds other files|can be written"):
        next(stream(workspace, [HOPPER], out=tmp_path))


def test_two_data_sets_of_one_long_name_both_stay(workspace: Workspace) -> None:
    """The second one's name was cut to the first one's, and its clean-up removed the first one's folder."""
    wanted, kept = "anna-" + "x" * 90, {}
    for photo in (ASTRONAUT, HOPPER):
        saved = of(Saved, list(stream(workspace, [photo], dataset=wanted)))[0]
        kept[saved.path] = photo.name
    assert [Dataset.load(path).entries[0].source for path in kept] == list(kept.values())
    with pytest.raises(NotEnoughPhotos):
        list(stream(workspace, [COFFEE], dataset=wanted))
    assert all(len(Dataset.load(path).entries) for path in kept)


@pytest.mark.parametrize("name", ["\u0410\u043d\u043d\u0430", "\u674e", "Zo\u00eb"])
def test_names_of_all_scripts_stay(workspace: Workspace, name: str) -> None:
    saved = of(Saved, list(stream(workspace, [HOPPER], dataset=name)))[0]
    assert saved.name == saved.path.name == name
    dataset = Dataset.load(workspace.find("datasets", name))
    dataset.set_framing(dataset.entries[0].file, "close-up")


@pytest.mark.parametrize("shelf", ["datasets", "runs", "models"])
def test_a_copy_is_written_to_no_shelf(workspace: Workspace, shelf: str) -> None:
    with pytest.raises(BadInput, match="lies among the datasets, runs and models"):
        next(stream(workspace, [HOPPER], out=workspace.root / shelf / "anna"))
    assert list((workspace.root / shelf).iterdir()) == []
