"""How fast pictures come: warm, in a batch, large, with a ControlNet, in a grid of models; beside stock diffusers.

    python -m benchmarks.generate --home FOLDER --out FOLDER [--size tiny] [--only one five]

Random weights of Stable Diffusion 1.5's sizes, 25 steps of DPM++ with guidance, medians of five. Writes
``generate-DEVICE-SIZE.json`` into ``--out`` (default: benchmarks/results) after each row.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import (
    ControlNetModel,
    DPMSolverMultistepScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from safetensors.torch import save_file

from benchmarks.bases import SIZES_PX, make_base
from dreamgui.diffusion.control.residuals import ControlInput
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.models.catalog.cards import ModelSpec, RunCard, write_run
from dreamgui.models.catalog.catalog import LORA_FILE, UNET_FILE
from dreamgui.models.device import device_name
from dreamgui.models.loading import load_unet
from dreamgui.models.lora.adapters import LoraSettings, add_lora, save_lora
from dreamgui.models.manager import Models
from dreamgui.workspace import Workspace

STEPS, GUIDANCE, TIMES = 25, 5.0, 5
PROMPTS = [f"a photo of sks woman face, {place}" for place in ("moon", "beach", "forest", "city", "snow")]
MUST = {
    "one": 0.18, "first": 0.22, "five": 0.60, "large": 0.52, "control": 0.30, "grid": 2.9, "unet": 0.06, "lora": 0.02,
}  # fmt: skip


class Place:
    """A base with a ControlNet, a UNet's run and two LoRAs' runs, all of random weights."""

    def __init__(self, home: Path, size: str) -> None:
        self.workspace = Workspace(home)
        self.models = Models(self.workspace)
        self.cuda = self.models.device.type == "cuda"
        self.px = SIZES_PX[size]  # type: ignore[index]
        self.base = make_base(self.workspace, size, device=self.models.device.type)  # type: ignore[arg-type]
        self.folder = self.workspace.place("models", self.base)
        self.map = Image.effect_noise((self.px, self.px), 80)
        self._controlnet()
        for name in ("her-unet", "her-lora", "her-other-lora"):
            self._run(name)

    def _controlnet(self) -> None:
        place = self.folder / "controlnet" / "canny"
        if not place.is_dir():
            unet = load_unet(self.folder, torch.device("cpu"), torch.float16)
            ControlNetModel.from_unet(unet).half().save_pretrained(place)

    def _run(self, name: str) -> None:
        place = self.workspace.place("runs", name)
        if place.is_dir():
            return
        torch.manual_seed(len(name))
        method = "unet" if name == "her-unet" else "lora"
        unet: Any = load_unet(self.folder, self.models.device, torch.float16)
        place.mkdir(parents=True)
        if method == "unet":
            (place / UNET_FILE).parent.mkdir()
            weights = {key: (value * 1.01).cpu().contiguous() for key, value in unet.state_dict().items()}
            save_file(weights, place / UNET_FILE)
        else:
            add_lora(unet, LoraSettings(8, 8.0))
            for key, weight in unet.named_parameters():
                if "lora_B" in key:
                    torch.nn.init.normal_(weight, std=0.02)
            save_lora(place / LORA_FILE, unet)
        write_run(
            place, RunCard(name=name, kind=method, base=self.base, learning_rate=1e-4, steps=1, finished=True)
        )

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any], warm: int = 4) -> float:
        """Median seconds of what is done often."""
        for _ in range(warm):
            work()
        taken = []
        for _ in range(TIMES):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - began)
        return sorted(taken)[TIMES // 2]

    def asked(self, count: int = 1, times: tuple[float, float] = (1, 1)) -> list[ImageRequest]:
        """Requests for pictures of the prompts, of the trained size or so many times that."""
        width, height = (int(self.px * each) // 64 * 64 for each in times)
        return [
            ImageRequest(
                prompt,
                seed=seed,
                steps=STEPS,
                guidance_scale=GUIDANCE,
                width_px=width or self.px,
                height_px=height or self.px,
            )
            for seed, prompt in enumerate(PROMPTS[:count])
        ]


LARGE = (1.5, 2.0)


def rows(place: Place) -> Iterator[tuple[str, Callable[[], float]]]:
    """Name and measurement of each row of ours."""
    models, base = place.models, ModelSpec(place.base)

    def drawn(spec: ModelSpec, asked: list[ImageRequest], control: list[ControlInput] | None = None) -> float:
        with models.use(spec) as parts:
            return place.seconds(lambda: generate(parts, asked, control or []))

    def first() -> float:
        """The picture after a UNet was entered again; another model was used meanwhile."""
        taken = []
        for _ in range(TIMES + 1):
            with models.use(base) as parts:
                generate(parts, place.asked())
            with models.use(models.catalog.spec("her-unet")) as parts:
                place.wait()
                began = time.perf_counter()
                generate(parts, place.asked())
                place.wait()
                taken.append(time.perf_counter() - began)
        return sorted(taken[1:])[TIMES // 2]

    def grid() -> None:
        for name in (place.base, "her-unet", "her-lora", "her-other-lora"):
            with models.use(models.catalog.spec(name)) as parts:
                generate(parts, place.asked(5))

    def entered(name: str) -> Callable[[], None]:
        def work() -> None:
            with models.use(models.catalog.spec(name)):
                pass

        return work

    control = ModelSpec(place.base, controlnet="canny")
    yield "one", lambda: drawn(base, place.asked())
    yield "first", first
    yield "five", lambda: drawn(base, place.asked(5))
    yield "large", lambda: drawn(base, place.asked(1, LARGE))
    yield "control", lambda: drawn(control, place.asked(), [ControlInput(place.map)])
    yield "grid", lambda: place.seconds(grid, 1)
    yield "unet", lambda: place.seconds(entered("her-unet"), 1)
    yield "lora", lambda: place.seconds(entered("her-lora"), 1)


def stock(place: Place) -> Iterator[tuple[str, Callable[[], float]]]:
    """The same by diffusers' pipelines as their documentation begins."""
    dtype = place.models.dtype

    def drawn(asked: list[ImageRequest], control: bool = False) -> float:
        place.models.release()
        kind: Any = StableDiffusionControlNetPipeline if control else StableDiffusionPipeline
        more: dict[str, Any] = {}
        if control:
            more["controlnet"] = ControlNetModel.from_pretrained(
                place.folder / "controlnet" / "canny", torch_dtype=dtype
            )
        pipe = kind.from_pretrained(place.folder, torch_dtype=dtype, safety_checker=None, **more)
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
        pipe.to(place.models.device)
        pipe.set_progress_bar_config(disable=True)
        given: dict[str, Any] = {
            "prompt": [each.prompt for each in asked],
            "width": asked[0].width_px,
            "height": asked[0].height_px,
            "num_inference_steps": STEPS,
            "guidance_scale": GUIDANCE,
        }
        if control:
            given["image"] = [place.map.convert("RGB")] * len(asked)
        return place.seconds(lambda: pipe(**given), 2)

    yield "one", lambda: drawn(place.asked())
    yield "five", lambda: drawn(place.asked(5))
    yield "large", lambda: drawn(place.asked(1, LARGE))
    yield "control", lambda: drawn(place.asked(), control=True)


def checksum(place: Place) -> list[float]:
    """What tells one base's weights from another's, bit by bit."""
    with place.models.use(ModelSpec(place.base)) as parts:
        kinds = {2: torch.int16, 4: torch.int32}
        return [
            int(weight.detach().contiguous().view(kinds[weight.element_size()]).long().sum())
            for weight in parts.unet.parameters()
        ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("/tmp/dreamgui-generate"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--size", choices=SIZES_PX, default="sd15")
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    place = Place(options.home.resolve(), options.size)
    name = device_name(place.models.device)
    found: dict[str, Any] = {
        "device": name,
        "date": str(datetime.date.today()),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "size": options.size,
        "what": f"seconds, medians of {TIMES}; {STEPS} steps of DPM++, guidance {GUIDANCE}",
        "rows": {},
    }
    file = options.out / f"generate-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}-{options.size}.json"
    before = checksum(place)
    for kind, measured in (("ours", rows(place)), ("stock", stock(place))):
        for row, measure in measured:
            if options.only and row not in options.only:
                continue
            seconds = round(measure(), 4)
            found["rows"].setdefault(row, {"must": MUST[row]})[kind] = seconds
            print(f"{kind:5} {row:8} {seconds:8.4f} s   (must {MUST[row]})", flush=True)
            file.write_text(json.dumps(found, indent=1) + "\n")
    found["base_bitwise_unchanged"] = checksum(place) == before
    print("base bitwise unchanged:", found["base_bitwise_unchanged"])
    file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
