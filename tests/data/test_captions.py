"""Captions that other programs changed: read in any encoding, kept, and told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dreamgui.data.crop import Photograph
from dreamgui.data.dataset import store as store_module
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.exchange.exchange import export, export_zip, import_export
from dreamgui.data.faces.detect import Face
from dreamgui.data.framing import Placement
from dreamgui.workspace import Workspace

SIZE_PX = 8
PROMPT = "a photo of sks woman"


def made(workspace: Workspace, crops: int = 3) -> Dataset:
    """A dataset of noise."""
    dataset = Dataset.create(workspace.place("datasets", "anna"), SIZE_PX, 1.5, PROMPT, "anna")
    box = (0, 0, SIZE_PX, SIZE_PX)
    for number in range(crops):
        kept = workspace.place("uploads", "anna") / f"{number + 1:04d}.png"
        photograph = Photograph(f"{number}.jpg", kept, (SIZE_PX, SIZE_PX), Face(box, 0.9, ()), ())
        noise = np.random.default_rng(number).integers(0, 255, (SIZE_PX, SIZE_PX, 3), np.uint8)
        dataset.add(photograph, Placement("close-up", box, 0.5, 1.0, 0, False), Image.fromarray(noise))
    return dataset


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def dataset(workspace: Workspace) -> Dataset:
    return made(workspace)


def text_of(dataset: Dataset, file: str) -> Path:
    return dataset.path(dataset.entry(file)).with_suffix(".txt")


def captions(dataset: Dataset) -> list[str]:
    return [entry.caption for entry in dataset.entries]


def in_step(dataset: Dataset) -> None:
    """All files say what dataset.json says, and nothing waits to be told or finished."""
    again = Dataset.load(dataset.folder)
    assert again.entries == dataset.entries and not again.remarks
    lines = (dataset.folder / "metadata.jsonl").read_text("utf-8").splitlines()
    used = [entry for entry in dataset.entries if entry.in_use]
    assert [json.loads(line)["text"] for line in lines] == [entry.caption for entry in used]
    for entry in dataset.entries:
        assert dataset.path(entry).with_suffix(".txt").read_bytes() == entry.caption.encode()
    assert not list(dataset.folder.glob(".next/*"))


def test_a_caption_that_goes_and_comes_back_is_told_as_often_as_it_was_seen(dataset: Dataset) -> None:
    """From A to B to A between two looks nothing happened; with a look between, both changes are told."""
    path = text_of(dataset, "0001.png")
    for text in ("elsewhere", PROMPT):
        path.write_text(text, "utf-8")
    again = Dataset.load(dataset.folder)
    assert captions(again) == [PROMPT] * 3 and not again.remarks
    for text in ("elsewhere", PROMPT):
        path.write_text(text, "utf-8")
        again = Dataset.load(dataset.folder)
        assert captions(again)[0] == text and "0001" in " ".join(again.remarks)
    in_step(again)
    again.set_caption("0001.png", "ours")
    path.write_text(PROMPT, "utf-8")
    again = Dataset.load(dataset.folder)
    assert captions(again)[0] == PROMPT and again.remarks
    in_step(again)


WRITTEN = [
    ("sks woman, red coat".encode("utf-8-sig"), "sks woman, red coat"),
    ("sks woman, в шляпе".encode("cp1251"), "sks woman, в шляпе"),
    ("sks woman, naïve, Zürich".encode("cp1252"), "sks woman, naïve, Zürich"),
    ("sks woman, 笑顔".encode("cp932"), "sks woman, 笑顔"),
    ("sks、白いシャツの女性".encode("cp932"), "sks、白いシャツの女性"),
    ("sks 女人。户外".encode("gbk"), "sks 女人。户外"),
    ("sks 女人,戶外".encode("big5"), "sks 女人,戶外"),
    ("戴帽".encode("big5"), "戴帽"),
    ("빨간 코트를 입은 sks 여자".encode("cp949"), "빨간 코트를 입은 sks 여자"),
    (b"sks woman,\r\nblue eyes\r\n", "sks woman, blue eyes"),
    ("sks woman, naïve".encode("utf-16"), "sks woman, naïve"),
    ("\ufeffsks woman, 猫".encode("utf-16-be"), "sks woman, 猫"),
    ("\ufeffsks".encode("utf-32-le"), "sks"),
    ("sks woman, в шляпе".encode("utf-16-le"), "sks woman, в шляпе"),
    ("sks woman, в шляпе".encode("utf-16-be"), "sks woman, в шляпе"),
    (b"  sks woman \t \n\n smiling  \n", "sks woman smiling"),
    ("sks 👩🏽‍🚀".encode(), "sks 👩🏽‍🚀"),
    (b"tag, " * 400, ("tag, " * 400).strip()),
    (b"sks\0 woman", "sks woman"),
]


@pytest.mark.parametrize(("data", "wanted"), WRITTEN)
def test_a_caption_of_another_program_is_read_kept_and_told(
    dataset: Dataset, data: bytes, wanted: str
) -> None:
    text_of(dataset, "0002.png").write_bytes(data)
    again = Dataset.load(dataset.folder)
    assert captions(again) == [PROMPT, wanted, PROMPT]
    assert len(again.remarks) == 1 and "0002.txt" in again.remarks[0] and "0001" not in again.remarks[0]
    in_step(again)
    assert again.undoable.startswith("captions of another program")
    again.undo()
    assert captions(again) == [PROMPT] * 3
    in_step(again)


@pytest.mark.parametrize(
    "data", [PROMPT.encode("utf-8-sig"), f" {PROMPT}\r\n".encode(), PROMPT.encode("utf-16")]
)
def test_the_same_caption_in_another_form_is_no_change(dataset: Dataset, data: bytes) -> None:
    text_of(dataset, "0001.png").write_bytes(data)
    again = Dataset.load(dataset.folder)
    assert captions(again) == [PROMPT] * 3 and not again.remarks and not again.undoable
    in_step(again)


@pytest.mark.parametrize(
    ("encoding", "text", "told"),
    [
        ("cp1251", "sks в шляпе", "0002.txt (read as CP1251)"),
        ("cp932", "sks、白いシャツ", "0002.txt (read as Shift-JIS)"),
        ("gbk", "穿红色外套的女人", "0002.txt (read as GBK)"),
        ("utf-8", "sks в шляпе", "0002.txt."),
        ("utf-16", "sks в шляпе", "0002.txt."),
        # It is cut off within a letter.
        ("utf-8", "a" + "в" * (1 << 15), "0002.txt."),
    ],
)
def test_an_encoding_that_was_guessed_is_told(dataset: Dataset, encoding: str, text: str, told: str) -> None:
    text_of(dataset, "0002.png").write_bytes(text.encode(encoding))
    [remark] = Dataset.load(dataset.folder).remarks
    assert told in remark


def test_an_emptied_caption_becomes_the_prompt_and_is_told(dataset: Dataset) -> None:
    dataset.set_caption("0001.png", "mine")
    for file in ("0001.png", "0002.png"):
        text_of(dataset, file).write_bytes(b"\xef\xbb\xbf \r\n")
    again = Dataset.load(dataset.folder)
    assert captions(again) == [PROMPT] * 3
    (remark,) = again.remarks
    assert "empty" in remark and "0001.txt, 0002.txt" in remark
    in_step(again)


def test_held_out_and_dropped_captions_count_too(dataset: Dataset) -> None:
    dataset.hold_out("0001.png")
    dataset.drop("0002.png")
    text_of(dataset, "0001.png").write_text("aside")
    text_of(dataset, "0002.png").write_text("dropped")
    again = Dataset.load(dataset.folder)
    assert captions(again) == ["aside", "dropped", PROMPT]
    in_step(again)


def test_rows_of_metadata_count_where_the_text_file_is_ours(dataset: Dataset) -> None:
    rows = dataset.folder / "metadata.jsonl"
    lines = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    lines[0]["text"], lines[1]["text"] = "by rows", "by rows too"
    rows.write_bytes(b"\r\n".join(json.dumps(line).encode() for line in lines))
    text_of(dataset, "0002.png").write_text("by file")
    again = Dataset.load(dataset.folder)
    assert captions(again) == ["by rows", "by file", PROMPT]
    assert any("metadata.jsonl" in remark and "0001.png" in remark for remark in again.remarks)
    assert any("Both" in remark and "0002.txt" in remark for remark in again.remarks)
    in_step(again)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\xff", b'[1]\nnull\n{"file_name": 3}\n{"text": "x"}'])
def test_broken_rows_are_written_anew(dataset: Dataset, data: bytes) -> None:
    (dataset.folder / "metadata.jsonl").write_bytes(data)
    again = Dataset.load(dataset.folder)
    assert captions(again) == [PROMPT] * 3 and not again.remarks
    in_step(again)


def test_a_change_in_the_page_keeps_what_another_program_wrote_meanwhile(dataset: Dataset) -> None:
    text_of(dataset, "0001.png").write_text("by the tagger")
    text_of(dataset, "0002.png").write_text("by the tagger too")
    dataset.drop("0001.png")
    dataset.set_caption("0002.png", "mine, the newest")
    assert captions(dataset) == ["by the tagger", "mine, the newest", PROMPT]
    assert dataset.remarks
    dataset.undo()
    assert dataset.entry("0002.png").caption == "by the tagger too"
    in_step(Dataset.load(dataset.folder))


class _KilledError(BaseException):
    """The program ended here."""


@contextmanager
def killed_after(changes: int) -> Iterator[None]:
    """Let this many changes to the disk happen and end the program at the next."""
    left = [changes]

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def perhaps(*args: Any, **kwargs: Any) -> Any:
            if left[0] == 0:
                raise _KilledError
            left[0] -= 1
            return work(*args, **kwargs)

        return perhaps

    with (
        mock.patch.object(store_module, "write_atomic", counted(store_module.write_atomic)),
        mock.patch.object(Path, "replace", counted(Path.replace)),
        mock.patch.object(Path, "unlink", counted(Path.unlink)),
        suppress(_KilledError),
    ):
        yield


@pytest.mark.parametrize("changes", range(9))
def test_an_own_change_that_was_cut_off_is_no_change_of_another_program(
    dataset: Dataset, changes: int
) -> None:
    dataset.set_caption("0001.png", "older")
    with killed_after(changes):
        dataset.set_caption("0001.png", "newer")
    saved = json.loads((dataset.folder / "dataset.json").read_text("utf-8"))["entries"][0]["caption"]
    again = Dataset.load(dataset.folder)
    assert again.entry("0001.png").caption == saved == ("older" if changes < 2 else "newer")
    assert not again.remarks
    in_step(again)


FILES = ["0001.png", "0002.png"]
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["own", "file", "row", "drop", "restore", "load", "there and back", "prefix"]),
        st.sampled_from(FILES),
        st.one_of(st.none(), st.integers(0, 9)),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1251"]),
    ),
    max_size=12,
)


class _Model:
    """The newest text of each caption, as its writer knows it; after a kill the old or the new one."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.dataset = made(self.workspace, 2)
        self.may_be: dict[str, set[str]] = {file: {PROMPT} for file in FILES}
        self.by_file: set[str] = set()
        self.number = 0

    def do(self, what: str, file: str, kill: int | None, encoding: str) -> None:
        self.number += 1
        text = f"слово {self.number}"
        if what == "file":
            self.foreign(file).write_bytes(f"{text}\r\n".encode(encoding))
            self.may_be[file], self.by_file = {text}, self.by_file | {file}
        elif what == "row":
            self.row(file, text)
        elif what == "there and back":
            self.there_and_back(kill, encoding)
        else:
            self.own(what, file, text, kill)

    def foreign(self, file: str) -> Path:
        """The text file beside the crop, wherever it lies now."""
        pictures = sorted(self.dataset.folder.glob(f"*/{file}"))
        return pictures[-1].with_suffix(".txt")

    def row(self, file: str, text: str) -> None:
        """Of two texts that other programs wrote, that of the file beside the crop wins."""
        rows = self.dataset.folder / "metadata.jsonl"
        lines = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
        for line in lines:
            if line["file_name"].endswith(file) and file not in self.by_file:
                line["text"] = text
                self.may_be[file] = {text}
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def own(self, what: str, file: str, text: str, kill: int | None) -> None:
        before = {name: set(texts) for name, texts in self.may_be.items()}
        if what == "own":
            self.may_be[file] = {text}
        elif what == "prefix":
            self.may_be = {name: {f"{text} {old}" for old in texts} for name, texts in before.items()}
        with killed_after(-1 if kill is None else kill):
            {
                "own": lambda: self.dataset.set_caption(file, text),
                "prefix": lambda: self.dataset.prefix_captions(text),
                "drop": lambda: self.dataset.drop(file),
                "restore": lambda: self.dataset.restore(file),
                "load": lambda: Dataset.load(self.dataset.folder),
            }[what]()
            self.by_file = set()
            return
        self.may_be = {name: texts | before[name] for name, texts in self.may_be.items()}

    def there_and_back(self, kill: int | None, encoding: str) -> None:
        """Out as a folder or zip, edited there, back; the import takes the place of the dataset."""
        self.check()
        target = self.workspace.root / (f"out{self.number}" + (".zip" if kill and kill % 2 else ""))
        for entry in self.dataset.entries:
            if entry.dropped:
                self.dataset.restore(entry.file)
        export(self.dataset, target)
        if target.is_dir():
            text = f"снаружи {self.number}"
            (target / "images" / FILES[0]).with_suffix(".txt").write_bytes(text.encode(encoding))
            self.may_be[FILES[0]] = {text}
        self.dataset = import_export(target, self.workspace, "anna").dataset

    def check(self) -> None:
        self.dataset = Dataset.load(self.dataset.folder)
        for entry in self.dataset.entries:
            assert entry.caption in self.may_be[entry.file]
            self.may_be[entry.file] = {entry.caption}
        self.by_file = set()
        in_step(self.dataset)


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_the_newest_text_of_each_caption_survives(actions: list[tuple[str, str, int | None, str]]) -> None:
    # Nothing here loses its power, so nothing waits for the disk.
    with tempfile.TemporaryDirectory() as root, mock.patch("os.fsync"):
        model = _Model(Path(root))
        for action in actions:
            model.do(*action)
        model.check()


def test_an_export_edited_elsewhere_keeps_the_edits(
    dataset: Dataset, workspace: Workspace, tmp_path: Path
) -> None:
    target = export(dataset, tmp_path / "out")
    (target / "images" / "0001.txt").write_bytes(WRITTEN[1][0])
    (target / "images" / "0003.txt").write_bytes(b"")
    (target / "images" / "new.jpg").touch()
    back = import_export(target, workspace, "back")
    assert "images/new.jpg" in back.remarks[-1]
    assert captions(back.dataset) == [WRITTEN[1][1], PROMPT, PROMPT] and len(back.remarks) == 3
    in_step(Dataset.load(back.dataset.folder))
    assert export_zip(back.dataset, tmp_path / "a.zip").is_file()
