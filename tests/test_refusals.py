"""Every refusal in the code is read: it says what happened, naming the file or item, and what to do next."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dreamgui import errors

ROOT = Path(__file__).parents[1]
HOLE = "\N{REPLACEMENT CHARACTER}"
"""Stands for what is filled in."""
KINDS = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.DreamError)
}


@dataclass(frozen=True)
class Refusal:
    """One place that makes an error: where, the function around it, and its two sentences."""

    place: str
    function: ast.FunctionDef | None
    what: list[str]
    next_step: list[str] | None


def texts(node: ast.expr | None) -> list[str]:
    """What an expression can say: each of its branches, with holes for what isn't known."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            said = [""]
            for value in values:
                said = [before + after for before in said for after in texts(value)]
            return said
        case ast.FormattedValue(value=ast.IfExp() as value):
            return texts(value)
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one), *texts(other)]
        case ast.BinOp(left=one, op=ast.Add(), right=other):
            return [a + b for a in texts(one) for b in texts(other)]
        case ast.BoolOp(values=values):
            return [text for value in values for text in texts(value)]
        case ast.Subscript(value=value):
            # Cut to a length: the end isn't known.
            return [text + HOLE for text in texts(value)]
        case _:
            return [HOLE]


def refusals() -> Iterator[Refusal]:
    """All places in the program that make an error of ours with its own words."""
    for path in sorted((ROOT / "dreamgui").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for node in ast.walk(tree):
            if (found := sentences(node)) is None:
                continue
            around = [f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)]  # type: ignore[attr-defined]
            what, step = found
            yield Refusal(
                f"{path.relative_to(ROOT).as_posix()}:{node.lineno}",  # type: ignore[attr-defined]
                max(around, key=lambda f: f.lineno, default=None),
                texts(what),
                None if step is None else texts(step),
            )
        yield from (each for function in functions for each in reasons(path, function))


def sentences(node: ast.AST) -> tuple[ast.expr | None, ast.expr | None] | None:
    """The two arguments of a call that makes an error; None for anything else, and for a pair from elsewhere."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS):
        return None
    if node.args and isinstance(node.args[0], ast.Starred):
        return None
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    both = [*node.args, None, None]
    return both[0] or named.get("what"), both[1] or named.get("next_step")


def reasons(path: Path, function: ast.FunctionDef) -> Iterator[Refusal]:
    """The pairs that a function gives to whoever raises the error."""
    if function.returns is None or ast.unparse(function.returns) != "tuple[str, str] | None":
        return
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            what, step = node.value.elts
            place = f"{path.relative_to(ROOT).as_posix()}:{node.lineno}"
            yield Refusal(place, function, texts(what), texts(step))


REFUSALS = list(refusals())
ACTIONS = set(
    [
        "add",
        "check",
        "choose",
        "clone",
        "close",
        "connect",
        "convert",
        "copy",
        "correct",
        "crop",
        "choose",
        "delete",
        "sign",
        "empty",
        "type",
        "rename",
        "restore",
        "shorten",
        "download",
        "drop",
        "export",
        "follow",
        "free",
        "give",
        "install",
        "keep",
        "leave",
        "let",
        "log",
        "look",
        "lower",
        "make",
        "merge",
        "name",
        "open",
        "pack",
        "put",
        "reload",
        "report",
        "resume",
        "save",
        "say",
        "set",
        "start",
        "take",
        "train",
        "try",
        "turn",
        "undo",
        "unpack",
        "upload",
        "use",
        "wait",
        "write",
        "change",
    ]
)
"""What a user can be told to do."""
LISTS = (
    "Known: ",
    "Kept are: ",
    "Its model files: ",
    "Those that can be: ",
    "Nothing was saved",
    "It was deleted",
    "Don't ",
)
"""Next steps that list what there is, or say what was kept."""
QUIET = {"place", "_sharpest", "placements", "_placements"}
"""Functions whose reasons another refusal takes into its own sentence."""
CARD = re.compile(r"\b(?:the|a|this|each|one|graphics) cards?\b(?! of)", re.IGNORECASE)
"""A GPU is a GPU; cards are those of models and runs."""


def read(kind: str) -> list[tuple[str, str]]:
    """Place and text of each sentence of a kind that is shown as it is."""
    shown = [each for each in REFUSALS if not is_quiet(each)]
    told = [(each.place, each.what if kind == "what" else each.next_step or []) for each in shown]
    return [(place, text) for place, all_texts in told for text in all_texts]


def is_quiet(refusal: Refusal) -> bool:
    return refusal.function is not None and refusal.function.name in QUIET


def test_many_are_read() -> None:
    assert len(REFUSALS) > 150


def test_each_has_a_next_step() -> None:
    assert not [each.place for each in REFUSALS if each.next_step is None and not is_quiet(each)]


@pytest.mark.parametrize("kind", ["what", "next_step"])
def test_each_is_whole_sentences(kind: str) -> None:
    """A command to type, or what is filled in, may stand at the end."""
    cut = [(place, text) for place, text in read(kind) if not text.strip().endswith((".", "?", HOLE))]
    assert not cut


def test_the_next_step_is_something_to_do() -> None:
    vague = [
        (place, text)
        for place, text in read("next_step")
        if text[0] != HOLE and re.split(r"\W", text)[0].lower() not in ACTIONS and not text.startswith(LISTS)
    ]
    assert not vague


def test_a_gpu_is_no_card() -> None:
    worded = [(p, t) for kind in ("what", "next_step") for p, t in read(kind) if CARD.search(t)]
    assert not worded


def test_a_file_or_item_is_named() -> None:
    """Where a function is given something to read or write, its refusals say which."""
    given = re.compile(r"path|file|folder|target|source|archive|photo")
    silent = []
    for each in REFUSALS:
        arguments = each.function.args.args if each.function else []
        named = [argument.arg for argument in arguments if given.fullmatch(argument.arg)]
        nothing_given = any("was chosen" in text for text in each.what)
        if named and not nothing_given and not all(HOLE in text for text in each.what):
            silent.append((each.place, named, each.what))
    assert not silent
