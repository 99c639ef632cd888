"""Build CLIP's tokenizer folder (assets/sd15/tokenizer) from OpenAI's byte-pair merges.

The vocabulary is the 256 byte characters, the same with ``</w>``, the first 48,894 merges joined, then
the two marks of start and end: 49,408 tokens (Radford et al. 2021, https://github.com/openai/CLIP).

    python tools/build_tokenizer.py ../shared/models/clip_bpe_simple_vocab_16e6.txt.gz assets/sd15/tokenizer
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

MERGES = 49_152 - 256 - 2
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH_TOKENS = 77


def byte_characters() -> list[str]:
    """One printable character for each of the 256 bytes, in CLIP's order: printable bytes first, then the
    others."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = len(set(range(256)) - set(printable))
    return [chr(number) for number in printable] + [chr(256 + number) for number in range(others)]


def read_merges(archive: Path) -> list[str]:
    """The merges that CLIP uses, one ``"left right"`` each; the archive's first line is its version."""
    with gzip.open(archive, "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")
    return lines[1 : MERGES + 1]


def vocabulary(merges: list[str]) -> dict[str, int]:
    """Token to id, 49,408 of them."""
    characters = byte_characters()
    joined = [merge.replace(" ", "") for merge in merges]
    tokens = [*characters, *(f"{character}</w>" for character in characters), *joined, START, END]
    return {token: number for number, token in enumerate(tokens)}


def mark(text: str) -> dict[str, object]:
    """A special token as tokenizer_config.json describes it."""
    return {
        "__type": "AddedToken",
        "content": text,
        "lstrip": False,
        "normalized": True,
        "rstrip": False,
        "single_word": False,
    }


def configuration() -> dict[str, object]:
    """tokenizer_config.json as Stable Diffusion 1.5 ships it."""
    return {
        "add_prefix_space": False,
        "bos_token": mark(START),
        "do_lower_case": True,
        "eos_token": mark(END),
        "errors": "replace",
        "model_max_length": LENGTH_TOKENS,
        "pad_token": END,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": mark(END),
    }


def special_tokens() -> dict[str, object]:
    """special_tokens_map.json as Stable Diffusion 1.5 ships it."""
    plain = {
        text: {key: value for key, value in mark(text).items() if key != "__type"} for text in (START, END)
    }
    return {"bos_token": plain[START], "eos_token": plain[END], "pad_token": END, "unk_token": plain[END]}


def build(archive: Path, target: Path) -> None:
    """Write vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json to the target
    folder."""
    merges = read_merges(archive)
    target.mkdir(parents=True, exist_ok=True)
    (target / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    for name, data in {
        "vocab.json": vocabulary(merges),
        "tokenizer_config.json": configuration(),
        "special_tokens_map.json": special_tokens(),
    }.items():
        indent = None if name == "vocab.json" else 1
        (target / name).write_text(
            json.dumps(data, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: python {sys.argv[0]} MERGES.txt.gz TARGET_FOLDER")
    build(Path(sys.argv[1]), Path(sys.argv[2]))
