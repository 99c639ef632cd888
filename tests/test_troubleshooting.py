"""docs/troubleshooting.md quotes messages as the code has them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.test_refusals import HOLE, REFUSALS, ROOT, texts

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [
    " ".join(found.split()) for found in re.findall(r'^- "(.*?)"(?=\s)', TEXT, re.DOTALL | re.MULTILINE)
]


def plain(message: str) -> str:
    """A message with one sign for each run of what is filled in."""
    return re.sub(f"(?:{HOLE})+", "…", message).strip()


def others() -> set[str]:
    """Sentences that aren't refusals: of run.py, app.py and doctor."""
    found: set[str] = set()
    for path in (ROOT / "run.py", ROOT / "app.py", *ROOT.glob("dreamgui/doctor/*.py")):
        for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
                found |= set(texts(node))
    return found


MESSAGES = {plain(text) for refusal in REFUSALS for text in refusal.what} | {plain(text) for text in others()}


def test_many_are_quoted() -> None:
    assert len(QUOTED) > 60
    assert len(QUOTED) == len(set(QUOTED)) == len(re.findall(r'^- "', TEXT, re.MULTILINE))


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_in_the_code(message: str) -> None:
    assert re.sub("…+", "…", message) in MESSAGES


def test_a_message_that_was_reworded_is_seen() -> None:
    assert "The run … is complete after … steps." not in MESSAGES


def test_linked_pages_are_there() -> None:
    for link in re.findall(r"\]\(([\w.-]+\.md)\)", TEXT):
        assert (ROOT / "docs" / link).is_file(), link
