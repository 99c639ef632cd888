"""LoRAs of other programs become runs that are used like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dreamgui.config import ImportJob
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.errors import BadInput, BadModelFile
from dreamgui.events import Event, Note
from dreamgui.exporting.certificate import difference
from dreamgui.models.lora.attach import attached
from dreamgui.models.manager import Models
from dreamgui.recipes import recipe
from dreamgui.recipes.compare import model_row
from dreamgui.workspace import Workspace
from tests.models.test_lora_namings import NAMINGS, OUT, QUERY, TEXT_LAYERS, TEXT_NAMINGS, flat, named, random
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    workspace = Workspace(tmp_path_factory.mktemp("import"))
    make_tiny_base(workspace)
    return Models(workspace, torch.device("cpu"))


def imported(models: Models, file: Path, **fields: Any) -> tuple[str, str]:
    """The run's name, and all notes."""
    job = ImportJob.model_validate({"file": file, **fields})
    events: list[Event] = list(recipe("import")(job, models.catalog.workspace, models))
    [name] = [event.name for event in events if type(event).__name__ == "Saved"]  # pyright: ignore[reportAttributeAccessIssue]
    return name, " ".join(event.text for event in events if isinstance(event, Note))


def picture(models: Models, name: str, scale: float = 1.0) -> Any:
    with models.use(models.catalog.spec(name, scale)) as parts:
        return generate(parts, [ImageRequest("a cat", steps=3)])[0]


@pytest.mark.parametrize("naming", ["kohya", "PEFT", "ComfyUI"])
def test_it_generates_what_the_file_does(models: Models, tmp_path: Path, naming: str) -> None:
    tensors = named(NAMINGS[naming])
    tensors |= named(TEXT_NAMINGS["kohya"], TEXT_LAYERS[:2]) if naming == "kohya" else {}
    save_file(tensors, tmp_path / "anna v1.safetensors", {"modelspec.trigger_phrase": "anna woman"})
    use = (tmp_path / "anna v1.safetensors", 0.8)
    with models.use(models.catalog.spec("tiny")) as parts, attached(parts.unet, parts.text_encoder, use):
        expected = generate(parts, [ImageRequest("a cat", steps=3)])[0]
    name, notes = imported(models, tmp_path / "anna v1.safetensors")
    assert name.startswith("anna-v1") and "layers" in notes
    assert difference(picture(models, name, 0.8), expected)[1] < 0.02
    assert difference(picture(models, name, 0.8), picture(models, "tiny"))[1] > 0.1
    card = models.catalog.run(name)
    assert (card.base, card.steps, card.job["instance_prompt"]) == ("tiny", 0, "anna woman")
    assert str(tmp_path) not in card.model_dump_json()
    assert model_row(models.catalog, name).kind == "lora"


def test_other_kinds_stay_as_they_are(models: Models, tmp_path: Path) -> None:
    """LoHa has no place in diffusers' keys."""
    stem, tensors = f"lora_unet_{flat(QUERY)}", {}
    unet = models.catalog.folder("tiny")
    from dreamgui.models.files.layout import empty_unet

    out, into = empty_unet(unet).get_parameter(f"{QUERY}.weight").shape
    for number in (1, 2):
        tensors[f"{stem}.hada_w{number}_a"] = random(out, 4, seed=number)
        tensors[f"{stem}.hada_w{number}_b"] = random(4, into, seed=2 + number)
    save_file({**tensors, f"{stem}.alpha": torch.tensor(4.0)}, tmp_path / "loha.safetensors")
    name, notes = imported(models, tmp_path / "loha.safetensors", trigger="bob man")
    assert "LoHa" in notes and "All 5 of its keys are used." in notes and "stands for 'bob man'" in notes
    assert difference(picture(models, name), picture(models, "tiny"))[1] > 0.02
    assert models.catalog.run(name).job["instance_prompt"] == "bob man"


def test_a_file_without_words_says_so(models: Models, tmp_path: Path) -> None:
    save_file(named(NAMINGS["kohya"], (OUT,)), tmp_path / "x.safetensors")
    assert "doesn't name its trigger words" in imported(models, tmp_path / "x.safetensors")[1]


def test_one_of_zeros_is_told(models: Models, tmp_path: Path) -> None:
    tensors = named(NAMINGS["kohya"], (OUT,))
    save_file(tensors, tmp_path / "moves.safetensors")
    assert "changes nothing" not in imported(models, tmp_path / "moves.safetensors")[1]
    unmoved = {key: value * (0 if "lora_up" in key else 1) for key, value in tensors.items()}
    save_file(unmoved, tmp_path / "zeros.safetensors")
    assert "The LoRA changes nothing" in imported(models, tmp_path / "zeros.safetensors")[1]


def test_keys_that_are_not_used_are_counted(models: Models, tmp_path: Path) -> None:
    tensors = named(NAMINGS["kohya"], (OUT,))
    save_file({**tensors, "bundle_emb.anna.string_to_param.*": random(2, 768)}, tmp_path / "more.safetensors")
    _, notes = imported(models, tmp_path / "more.safetensors")
    assert (
        f"{len(tensors)} of its {len(tensors) + 1} keys are used; 1 are not: the textual inversion anna."
        in notes
    )


def test_the_base_is_asked_for_where_the_file_does_not_tell_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    for name in ("tiny", "other"):
        make_tiny_base(workspace, name)
    two = Models(workspace, torch.device("cpu"))
    save_file(named(NAMINGS["kohya"], (OUT,)), tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match=r"x\.safetensors may be for any of 2 models. Name its base model"):
        imported(two, tmp_path / "x.safetensors")
    save_file(
        named(NAMINGS["kohya"], (OUT,)),
        tmp_path / "y.safetensors",
        {"ss_sd_model_name": "C:\\m\\other.safetensors"},
    )
    name, _ = imported(two, tmp_path / "y.safetensors")
    assert two.catalog.run(name).base == "other"


def test_a_whole_model_is_sent_to_convert(models: Models, tiny_file: Path) -> None:
    with pytest.raises(BadInput, match="not a LoRA"):
        imported(models, tiny_file)


def test_what_fits_no_base_is_refused_and_leaves_nothing(models: Models, tmp_path: Path) -> None:
    before = models.catalog.workspace.names("runs")
    save_file(
        {"lora_unet_other.lora_down.weight": random(4, 8), "lora_unet_other.lora_up.weight": random(8, 4)},
        tmp_path / "x.safetensors",
    )
    with pytest.raises(BadModelFile):
        imported(models, tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match=r"There is no file or folder '.*absent\.safetensors'"):
        imported(models, tmp_path / "absent.safetensors")
    assert models.catalog.workspace.names("runs") == before


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (lambda tensor: torch.full_like(tensor, torch.nan), "NaN or infinity"),
        (lambda tensor: tensor / 0, "NaN or infinity"),
        (lambda tensor: (tensor * 100).to(torch.int8), r"integers \(int8\)"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(
    models: Models, tmp_path: Path, broken: Callable[[torch.Tensor], torch.Tensor], why: str
) -> None:
    """They became runs whose pictures were black or noise, without a word."""
    before = models.catalog.workspace.names("runs")
    tensors = named(NAMINGS["kohya"], (OUT,))
    save_file(
        {key: broken(one) if one.ndim else one for key, one in tensors.items()}, tmp_path / "x.safetensors"
    )
    with pytest.raises(BadModelFile, match=rf"x\.safetensors: .* holds {why}"):
        imported(models, tmp_path / "x.safetensors")
    assert models.catalog.workspace.names("runs") == before
