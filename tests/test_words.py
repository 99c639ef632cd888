"""The words of the page, its API and the command line: the field's own terms (docs/WORDS.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from dreamgui.config import JOBS, JobConfig
from dreamgui.ui.build import create_ui
from dreamgui.ui.parts.widgets import extra
from tests.ui.fakes import fake_services, fake_visitor_services

LONGEST_INFO = 90
COMMAND_LINE_ONLY = {("convert", "source")}
"""Fields with a help text longer than an info line; the page has a widget of its own for them."""
NOT_OURS = re.compile(
    r"\b(draw\w*|drew|learn|learns|learnt|learned|data sets?|twins?|hints?|wish\w*|number formats?"
    r"|(graphics )?cards?|give out|given out|giving out|picture that leads|this is needed)\b",
    re.IGNORECASE,
)
"""Words of the right column of docs/WORDS.md; the page shows no model card, so a card would be a GPU."""


@pytest.mark.parametrize("job", JOBS.values())
def test_a_label_is_a_few_words_and_its_info_one_line(job: type[JobConfig]) -> None:
    for name, field in job.model_fields.items():
        label, info = str(field.title), str(extra(field, "info"))
        assert 1 <= len(label.split()) <= 5, (name, label)
        assert not label.endswith((".", ":")), (name, label)
        assert not info or info.endswith("."), (name, info)
        assert len(info) <= LONGEST_INFO or (job.kind, name) in COMMAND_LINE_ONLY, (name, info)
        assert not NOT_OURS.search(f"{label} {info}"), (name, label, info)
        assert field.description == (f"{label}: {info}" if info else label)


@pytest.mark.parametrize("job", JOBS.values())
def test_a_job_is_described_in_the_fields_terms(job: type[JobConfig]) -> None:
    assert not NOT_OURS.search(job.__doc__ or "")


@pytest.mark.parametrize("local", [True, False])
def test_the_page_speaks_the_fields_terms(tmp_path: Path, local: bool) -> None:
    found = [
        (text, part[0])
        for text in _texts(create_ui((fake_services if local else fake_visitor_services)(tmp_path)))
        if (part := NOT_OURS.search(text))
    ]
    assert not found


_OURS = re.compile(
    r"\b(data sets?|twins|wish(es|ed)?|number formats?|graphics cards?|given? out|giving out|picture that leads"
    r"|this is needed)\b",
    re.IGNORECASE,
)
"""Of those words the ones that have no other meaning anywhere in the package. It has model cards, and detectors draw boxes."""
ROOT = Path(__file__).resolve().parent.parent


def test_every_text_of_the_package_speaks_the_fields_terms() -> None:
    """Reports, errors and notes are string constants; so are docstrings."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {part[0]}"
        for path in sorted((ROOT / "dreamgui").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (part := _OURS.search(node.value))
    ]
    assert not found, "\n".join(found)


def _texts(blocks: gr.Blocks) -> Iterator[str]:
    """Everything readable that the page shows before any job: labels, infos, buttons, choices, HTML."""
    for block in blocks.blocks.values():
        props: dict[str, Any] = block.get_config()
        for key in ("label", "info", "placeholder"):
            if isinstance(props.get(key), str):
                yield props[key]
        yield from (str(choice[0]) for choice in props.get("choices") or ())
        if isinstance(block, gr.HTML | gr.Button) and isinstance(block.value, str):
            yield unescape(re.sub(r"<[^>]*>", " ", block.value))
