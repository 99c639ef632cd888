"""docs/recipes.md and docs/tutorial.md: figures are their sources', commands are the program's, pictures are the tool's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from statistics import mean

import pytest

from dreamgui.cli import _parser
from dreamgui.config import JOBS
from dreamgui.models.catalog.cards import SD15_RECOMMENDED
from tools.screenshots import TABS

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = [
    " ".join(found.split())
    for found in re.findall(r"(?:^|`)python run\.py (\w[^`\n]*)", RECIPES + TUTORIAL, re.M)
]


def source(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str) -> None:
    options = vars(_parser().parse_args(shlex.split(command)))
    kind = options.pop("command")
    JOBS[kind].model_validate(
        {name: value for name, value in options.items() if name != "home" and value is not None}
    )


def test_many_commands_are_read() -> None:
    assert len(COMMANDS) >= 10


def test_the_recommended_settings_are_the_model_cards() -> None:
    unet, lora = SD15_RECOMMENDED["unet"], SD15_RECOMMENDED["lora"]
    rates = f"| learning rate | {unet['learning_rate']:.0e} | {lora['learning_rate']:.0e} |".replace(
        "e-0", "e-"
    )
    assert rates in RECIPES
    assert re.search(rf"\| steps \| {unet['steps']}\b.* \| {lora['steps']} \|", RECIPES)
    assert f"| {lora['rank']} and {lora['rank']} |" in RECIPES
    assert f"| class images | {unet['class_count']} | {lora['class_count']} |" in RECIPES


def test_the_persons_shares_are_the_measured_ones() -> None:
    results = json.loads(source("benchmarks/results/persons-2-h100.json"))["results"]
    rows = {
        "full UNet": "unet", "full UNet, without prior preservation": "unet without prior",
        "LoRA, rank 4": "lora 4", "LoRA, rank 8": "lora 8", "LoRA, rank 16": "lora 16",
    }  # fmt: skip
    for title, variant in rows.items():
        mine = [each for each in results if each["variant"] == variant]
        person, others = (
            round(100 * mean(each[key] for each in mine)) for key in ("token_recognised", "class_recognised")
        )
        assert len(mine) == 10 and f"| {title} | {person} % | {others} % |" in RECIPES


def test_the_memory_is_the_measured_one() -> None:
    memory = source("docs/MEMORY.md")
    measured = {
        tier: re.search(rf"^\| `{tier}`[^|]*\|[^|]*\| ([\d.]+) ", memory, re.M) for tier in
        ("24GB", "16GB", "12GB", "8GB", "6GB")
    }  # fmt: skip
    for tier, found in measured.items():
        assert found and re.search(rf"^\| {tier[:-2]} GB \|[^|]*: {re.escape(found[1])} \|", RECIPES, re.M), (
            tier
        )
    lora = re.search(r"^\| all but `least` \| nothing \| ([\d.]+) ", memory, re.M)
    less = re.search(r"^\| `auto` with 3\.5 GB free \|[^|]*\| ([\d.]+) ", memory, re.M)
    assert lora and RECIPES.count(f"nothing saved: {lora[1]} |") == 5
    assert less and f"gradient checkpointing: {less[1]} |" in RECIPES


@pytest.mark.parametrize(
    ("file", "row", "figure"),
    [
        ("train-nvidia-h100-80gb-hbm3-sd15.md", "UNet 1+1, exact fp32 AdamW, no compile", "30.1 steps"),
        ("train-nvidia-h100-80gb-hbm3-sd15.md", "LoRA rank 8, 1+1, no compile", "53.5"),
        ("train-nvidia-h100-80gb-hbm3-sd15.md", "UNet 8+8", "126 images"),
        ("train-nvidia-h100-80gb-hbm3-sd15.md", "200 class images + 800 UNet steps", "69.6 s"),
        ("train-cpu-2-cores-demo.md", "UNet 1+1, exact fp32 AdamW, no compile", "6.28"),
        ("train-cpu-2-cores-demo.md", "LoRA rank 8, 1+1, no compile", "7.12"),
    ],
)
def test_the_speeds_are_the_measured_ones(file: str, row: str, figure: str) -> None:
    [line] = [
        line for line in source(f"benchmarks/results/{file}").splitlines() if line.startswith(f"| {row}")
    ]
    assert f"| {figure}" in line and figure in " ".join(RECIPES.split())


def test_pictures_are_those_that_the_tool_makes() -> None:
    pictures = re.findall(r"\]\(img/([\w-]+)\.png\)", TUTORIAL)
    assert len(pictures) >= 5 and set(pictures) <= set(TABS)


@pytest.mark.parametrize("text", [RECIPES, TUTORIAL], ids=["recipes", "tutorial"])
def test_links_lead_somewhere(text: str) -> None:
    for link in re.findall(r"\]\(([^)#]+?)\)", text):
        assert link.startswith("img/") or (ROOT / "docs" / link).exists(), link
