"""ControlNets as single files in both layouts, pickled or not, as folders and from the hub's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgui.errors import BadInput, BadModelFile, UnknownName
from dreamgui.events import Event
from dreamgui.models.controlnet.obtain import WEIGHTS, obtain
from dreamgui.models.controlnet.single_file import load_single_file
from dreamgui.models.sources import fetch as fetching
from dreamgui.models.sources import hub
from dreamgui.workspace import Workspace
from tests.tiny import tiny_unet

RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
    "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
FIXED = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in", "middle_block_out.0": "controlnet_mid_block",
    "input_hint_block.0": "controlnet_cond_embedding.conv_in", "input_hint_block.14": "controlnet_cond_embedding.conv_out",
}  # fmt: skip


def ldm_name(key: str) -> str:
    """LDM's name of a tensor of the tiny ControlNet (two levels of one layer), written down from LDM's own code."""
    name, _, end = key.rpartition(".")
    pairs = {theirs: ours for ours, theirs in FIXED.items()}
    for number in range(6):
        pairs[f"controlnet_cond_embedding.blocks.{number}"] = f"input_hint_block.{2 * number + 2}"
    for number in range(4):
        pairs[f"controlnet_down_blocks.{number}"] = f"zero_convs.{number}.0"
    for ours, theirs in RESNET.items():
        pairs[f"down_blocks.0.resnets.0.{theirs}"] = f"input_blocks.1.0.{ours}"
        pairs[f"down_blocks.1.resnets.0.{theirs}"] = f"input_blocks.3.0.{ours}"
        pairs[f"mid_block.resnets.0.{theirs}"] = f"middle_block.0.{ours}"
        pairs[f"mid_block.resnets.1.{theirs}"] = f"middle_block.2.{ours}"
    pairs["down_blocks.0.downsamplers.0.conv"] = "input_blocks.2.0.op"
    for ours, theirs in (
        ("input_blocks.1.1", "down_blocks.0.attentions.0"),
        ("middle_block.1", "mid_block.attentions.0"),
    ):
        if name.startswith(theirs):
            return f"{ours}{name.removeprefix(theirs)}.{end}"
    return f"{pairs[name]}.{end}"


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return tiny_unet()


@pytest.fixture(scope="module")
def net(unet: UNet2DConditionModel) -> ControlNetModel:
    torch.manual_seed(3)
    model = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
    for parameter in model.parameters():
        parameter.data.normal_(std=0.02)
    return model


def same(model: ControlNetModel, other: ControlNetModel) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


LAYOUTS: dict[str, Callable[[str], str]] = {
    "control_v11p_sd15_openpose": lambda key: ldm_name(key),
    "control_sd15_canny": lambda key: "control_model." + ldm_name(key),
    "diffusion_pytorch_model": lambda key: key,
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_each_layout_gives_the_same_weights(
    unet: UNet2DConditionModel, net: ControlNetModel, tmp_path: Path, name: str, ending: str
) -> None:
    tensors: dict[str, Tensor] = {LAYOUTS[name](key): value for key, value in net.state_dict().items()}
    if name == "control_sd15_canny":
        tensors["model.diffusion_model.out.2.bias"] = torch.ones(4)
    path = tmp_path / (name + ending)
    if ending == ".pth":
        torch.save(tensors, path)
    else:
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    assert same(load_single_file(path, unet, torch.float32), net)
    half = load_single_file(path, unet, torch.float16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}


def test_another_bases_controlnet_a_part_of_one_and_a_unet_are_refused(
    unet: UNet2DConditionModel, net: ControlNetModel, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.safetensors"
    save_file({key: value for key, value in net.state_dict().items() if "mid_block" not in key}, path)
    with pytest.raises(BadModelFile, match=r"wrong\.safetensors doesn't fit"):
        load_single_file(path, unet, torch.float32)
    save_file(net.state_dict(), path)
    with pytest.raises(BadModelFile, match="doesn't fit"):
        load_single_file(path, tiny_unet(cross_attention_dim=64), torch.float32)
    save_file(unet.state_dict(), path)
    with pytest.raises(BadModelFile, match="holds no ControlNet"):
        load_single_file(path, unet, torch.float32)


def got(text: str, workspace: Workspace) -> Path:
    events: list[Event] = []
    stream = obtain(text, workspace)
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return end.value


def test_paths_are_taken_as_they_are_and_others_refused(tmp_path: Path, net: ControlNetModel) -> None:
    workspace = Workspace(tmp_path / "work")
    net.save_pretrained(tmp_path / "net")
    assert got(str(tmp_path / "net"), workspace) == tmp_path / "net"
    assert got(str(tmp_path / "net" / WEIGHTS), workspace) == tmp_path / "net" / WEIGHTS
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no config"):
        got(str(tmp_path / "empty"), workspace)
    with pytest.raises(UnknownName):
        got(str(tmp_path / "gone.pth"), workspace)


def test_a_hub_id_is_fetched_once_and_kept(
    tmp_path: Path, net: ControlNetModel, unet: UNet2DConditionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, asked = Workspace(tmp_path / "work"), []
    remote = hub.Remote("https://x", WEIGHTS, "x", None, "", "", {})

    def find(source: hub.HubModel, token: str) -> hub.HubFiles:
        asked.append(source.file)
        return hub.HubFiles(f"{source.repo}@{'a' * 40}:{source.file}", {WEIGHTS: remote}, {}, WEIGHTS)

    def one(remote: object, target: Path, workspace: Workspace) -> object:
        save_file(net.state_dict(), target)
        return target, ""
        yield

    monkeypatch.setattr(hub, "find_files", find)
    monkeypatch.setattr(fetching, "_one", one)
    path = got("lllyasviel/control_v11p_sd15_openpose", workspace)
    assert path.parent == workspace.root / "controlnets" and asked == [WEIGHTS]
    assert same(load_single_file(path, unet, torch.float32), net)
    assert got("lllyasviel/control_v11p_sd15_openpose", workspace) == path and len(asked) == 1
    assert not list((workspace.root / "models").iterdir()), "nothing is left of the download"
    assert load_file(path).keys() == net.state_dict().keys()
