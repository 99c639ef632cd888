"""The tokenizer that we built is CLIP's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from dreamgui.assets import asset

MERGES = Path(__file__).parents[3] / "shared" / "models" / "clip_bpe_simple_vocab_16e6.txt.gz"


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(asset("sd15/tokenizer"), local_files_only=True)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("A  Photo of\ta CAT", [320, 1125, 539, 320, 2368]),
        ("a photo of sks woman face", [320, 1125, 539, 48136, 2308, 1710]),
    ],
)
def test_known_ids(tokenizer: CLIPTokenizer, text: str, ids: list[int]) -> None:
    assert tokenizer(text).input_ids == [49406, *ids, 49407]


def test_size_and_padding(tokenizer: CLIPTokenizer) -> None:
    ids = tokenizer("a cat", padding="max_length", truncation=True).input_ids
    assert (len(tokenizer), tokenizer.model_max_length, len(ids), set(ids[4:])) == (49408, 77, 77, {49407})


@pytest.mark.skipif(not MERGES.is_file(), reason="the archive of merges isn't on this machine")
def test_the_script_builds_the_shipped_files(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "tools" / "build_tokenizer.py"
    spec = importlib.util.spec_from_file_location("build_tokenizer", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(MERGES, tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (asset("sd15/tokenizer") / file.name).read_bytes()
