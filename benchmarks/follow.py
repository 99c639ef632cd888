"""Does a picture follow its control map, and is the base left as it was: on the CPU, with the bundled demo model.

    python -m benchmarks.follow --home FOLDER [--run NAME] [--only edges poses time same]

The workspace holds the demo model; ``--run`` names a LoRA trained on it. Writes ``benchmarks/results/follow-cpu.json``;
parts that aren't run stay there as they were. Times count only where nothing else runs: the load is written beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dreamgui.assets import asset
from dreamgui.config import ControlJob
from dreamgui.data.faces.body import detect_bodies
from dreamgui.data.photos.load import load_image
from dreamgui.diffusion.control.control_maps import canny_map
from dreamgui.diffusion.sample import ImageRequest, decode, generate
from dreamgui.evaluate.following import edge_recall, pose_figures
from dreamgui.events import Cell
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.services import Services, build

RESULT = Path(__file__).parent / "results" / "follow-cpu.json"
BASE, STEPS, SEED, THREADS = "portraits", 20, 7, 2
EDGE_PROMPT = "a photo of woman"
"""Without a place: "in the forest" and the edges of a kitchen want two pictures."""
WITHIN = 0.06
_HIPS, _ANKLES = (8, 11), (10, 13)
_EDGE_PHOTOGRAPHS = 8


def controlled(
    services: Services, photo: Path, prompt: str, control: str, strengths: Sequence[float]
) -> list[Cell]:
    """The pictures of a photograph's map, one a strength."""
    job = services.jobs.submit(
        ControlJob(
            image=photo, prompt=prompt, models=(BASE,), strengths=tuple(strengths), steps=STEPS, seed=SEED,
            control="pose" if control == "pose" else "canny",
        )
    )  # fmt: skip
    job.wait()
    return [event for event in job.events() if isinstance(event, Cell)]


def edges(services: Services, _: str) -> dict[str, Any]:
    """Edge recall within 2 pixels at strengths 0 and 1, and how far they are apart.

    ``at_most`` is the recall of the photograph itself after the model's autoencoder: no ControlNet gets further.
    """
    rows = []
    for photo in photographs()[:_EDGE_PHOTOGRAPHS]:
        cells = controlled(services, photo, EDGE_PROMPT, "canny", (0.0, 1.0))
        without, followed = (cell.scores["edge_recall"] for cell in cells)
        most = edge_recall(*(canny_map(each) for each in _there_and_back(services, photo)))
        rows.append({"photograph": photo.name, "at_0": without, "at_1": followed, "at_most": most})
    means = {name: statistics.fmean(row[name] for row in rows) for name in ("at_0", "at_1", "at_most")}
    gain, most = means["at_1"] - means["at_0"], means["at_most"] - means["at_0"]
    return {
        "must": "gain at least 0.6", "met": gain >= 0.6, "gain": gain, "gain_at_most": most, **means, "rows": rows,
    }  # fmt: skip


def _there_and_back(services: Services, photo: Path) -> tuple[Image.Image, Image.Image]:
    """A photograph fitted into the model's size, and what its autoencoder makes of it."""
    with services.models.use(ModelSpec(BASE)) as parts, torch.no_grad():
        view = load_image(photo)
        view.thumbnail((parts.card.size_px, parts.card.size_px), Image.Resampling.LANCZOS)
        view = view.crop((0, 0, view.width // 8 * 8, view.height // 8 * 8))
        pixels = torch.from_numpy(np.array(view)).permute(2, 0, 1)[None].float() / 127.5 - 1
        latents: Any = parts.vae.encode(pixels.to(parts.device, parts.dtype)).latent_dist.mode()
        (back,) = decode(parts.vae, latents * parts.vae.config.scaling_factor)
    return view, back


def poses(services: Services, _: str) -> dict[str, Any]:
    """Keypoints of the generated people against those of the map; a pose is followed within 6 % of the width."""
    rows, without = [], []
    for photo in photographs():
        people = detect_bodies(load_image(photo))
        if not people:
            without.append(photo.name)
            continue
        [cell] = controlled(services, photo, _prompt(people[0]), "pose", (1.0,))
        view, back = _there_and_back(services, photo)
        scale = view.width / load_image(photo).width
        wanted = [np.c_[person[:, :2] * scale, person[:, 2]] for person in people]
        most = pose_figures(wanted, detect_bodies(back), view.width)
        rows.append({**pose_row(photo, cell.scores), "distance_at_best": most["pose_distance"]})
    return pose_summary(rows, without)


def pose_row(photo: Path, scores: Mapping[str, float | None]) -> dict[str, Any]:
    """Figures of one tried pose."""
    distance = scores["pose_distance"]
    followed = distance is not None and distance <= WITHIN
    return {
        "photograph": photo.name,
        "distance": distance,
        "within": scores["pose_within"],
        "followed": followed,
    }


def pose_summary(rows: Sequence[Mapping[str, Any]], without: Sequence[str]) -> dict[str, Any]:
    """All tried poses together."""
    share = statistics.fmean(row["followed"] for row in rows)
    best = [row["distance_at_best"] for row in rows]
    found = [row["within"] for row in rows if row["within"] is not None]
    return {
        "must": "mean distance of the keypoints within 6 % of the width for 0.8 of the tried poses", "met": share >= 0.8,
        "share": share, "share_at_best": statistics.fmean(d is not None and d <= WITHIN for d in best), "tried": len(rows), "mean_share_of_keypoints": statistics.fmean(found),
        "photographs_without_a_pose": list(without), "rows": list(rows),
    }  # fmt: skip


def _prompt(body: np.ndarray) -> str:
    """A prompt with the framing of a body."""
    seen = body[:, 2] >= 0.5
    framing = (
        ", full figure" if seen[list(_ANKLES)].all() else ", upper body" if seen[list(_HIPS)].all() else ""
    )
    return f"a photo of woman face{framing}, in the forest"


def seconds(services: Services, _: str) -> dict[str, Any]:
    """The time of one picture, the median of five, warm; processor seconds tell it apart from waiting for others."""
    walls, processor, threads = [], [], torch.get_num_threads()
    torch.set_num_threads(THREADS)
    with services.models.use(ModelSpec(BASE)) as parts:
        for number in range(6):
            wall, used = time.perf_counter(), time.process_time()
            generate(parts, [_request(number)])
            walls.append(time.perf_counter() - wall)
            processor.append(time.process_time() - used)
    torch.set_num_threads(threads)
    wall_s = statistics.median(walls[1:])
    return {
        "must": "20 steps at most 1.2 s on two cores", "met": wall_s <= 1.2, "wall_s": wall_s,
        "fastest_wall_s": min(walls[1:]), "processor_s": statistics.median(processor[1:]),
        "load_before": os.getloadavg()[0], "threads": THREADS,
    }  # fmt: skip


def same(services: Services, run: str) -> dict[str, Any]:
    """Differences that must be none: alone and in a batch, a LoRA of strength 0, the base before and after each use."""
    models, found = services.models, {}
    with models.use(ModelSpec(BASE)) as parts:
        before, [picture] = _digest(parts), generate(parts, [_request(0)])
        together = generate(parts, [_request(number) for number in range(5)])
        alone = [picture, *(generate(parts, [_request(number)])[0] for number in range(1, 5))]
        found["batch_levels"] = max(map(_apart, alone, together))
    if run:
        with models.use(models.catalog.spec(run, 0.0)) as parts:
            found["lora_of_strength_0_levels"] = _apart(picture, generate(parts, [_request(0)])[0])
    for name, spec in _uses(services, run).items():
        with models.use(spec) as parts:
            generate(parts, [_request(1)], [_control()] if spec.controlnet else [])
        with models.use(ModelSpec(BASE)) as parts:
            found[f"base_after_{name}"] = {
                "weights_bitwise": _digest(parts) == before,
                "levels": _apart(picture, generate(parts, [_request(0)])[0]),
            }
    after = [each for name, each in found.items() if name.startswith("base_after")]
    met = found["batch_levels"] <= 2 and not found.get("lora_of_strength_0_levels", 0)
    met = met and all(each["weights_bitwise"] and not each["levels"] for each in after)
    return {"must": "batch at most 2 of 255, all others 0", "met": met, **found}


def _uses(services: Services, run: str) -> dict[str, ModelSpec]:
    uses = {"canny": services.models.catalog.spec(BASE, controlnet="canny")}
    if run:
        spec = services.models.catalog.spec
        uses |= {"lora": spec(run), "lora_and_pose": spec(run, -0.7, controlnet="pose")}
        uses["two_loras"] = ModelSpec(BASE, more_loras=((run, 0.5), (run, -0.25)))
    return uses


def _control() -> Any:
    from dreamgui.diffusion.control.residuals import ControlInput

    side_px = 160
    return ControlInput(canny_map(load_image(photographs()[0]).resize((side_px, side_px))), 1.0)


def _request(number: int) -> ImageRequest:
    return ImageRequest(
        "a photo of woman face in the forest", seed=SEED + number, steps=STEPS, guidance_scale=5.0
    )


def _digest(parts: Any) -> str:
    """A hash of all weights that a picture depends on."""
    digest = hashlib.sha256()
    for module in (parts.unet, parts.vae, parts.text_encoder):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _apart(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


def photographs() -> list[Path]:
    """The demo's photographs."""
    return sorted((asset("demo") / "photos").glob("*.jpg"))


PARTS: dict[str, Callable[[Services, str], dict[str, Any]]] = {
    "time": seconds, "same": same, "edges": edges, "poses": poses,
}  # fmt: skip


def main() -> None:
    """Measure what was asked for and write it into the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--run", default="")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    services = build(options.home)
    for name in options.only:
        measured = {name: PARTS[name](services, options.run)}
        earlier = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        about = {"machine": _processor(), "cores": os.cpu_count(), "torch": torch.__version__, "steps": STEPS}
        RESULT.write_text(json.dumps({**earlier, **about, **dict(_rounded(measured))}, indent=1) + "\n")
        print(
            name,
            json.dumps({key: value for key, value in measured[name].items() if key != "rows"}),
            flush=True,
        )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor()
    )


def _rounded(values: Any) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, float):
            yield name, round(value, 4)
        elif isinstance(value, dict):
            yield name, dict(_rounded(value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield name, [dict(_rounded(each)) for each in value]
        else:
            yield name, value


if __name__ == "__main__":
    main()
