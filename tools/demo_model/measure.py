"""Measures the bundled model on the processor, as the app will use it, and prints and stores the numbers.

    python measure.py --assets assets/demo --judges benchmarks/judges --held-out OUT/pictures/held-out --out
        DIR

VAE: PSNR and dlib distance after a round trip on held-out persons. UNet: faces found by BlazeFace in close
and medium pictures, woman or man and the place as the judges see them, seconds a picture; names: whether the
person of a name is who is drawn; ControlNets: how well edges are followed. The model is put together from the
shipped files by the app's own code.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from architecture import CONTROL_KINDS, load_tokenizer
from common import Ranks, as_bytes, as_unit, write_json, write_sheet
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from judges import Judges, boxes_from_detector, load_judges
from pictures import load_pictures
from PIL import Image
from sampling import Model, sample
from train_controlnets import MEASURED, Examples, edge_f1
from train_vae import measure_vae, round_trip
from transformers import CLIPTextModel
from world import NAME_SEED0, NAMES, PLACE_PHRASES, Identity, draw, identity, scene

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from dreamgui.data.faces.detect import Face, detect_faces
from dreamgui.data.faces.identity import embed_face
from dreamgui.models.files.layout import read_layout
from tests.single_files import write_parts

CLOSE_UPS = 60
AT_ONCE = 10
NAMED, PLACES_OF_A_NAME = (*range(24), *range(len(NAMES) - 24, len(NAMES))), 4
"""The first names were in the captions of pictures of their persons; the last ones' persons are in no picture."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--judges", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200, help="pictures to draw")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model, judges = load_bundle(options.assets), load_judges(options.judges)
    facts: dict[str, Any] = {"vae": measure_round_trip(model.vae, options.held_out)}
    print(facts["vae"], flush=True)
    facts["drawing"] = measure_drawing(model, judges, options.count, options.out)
    print(facts["drawing"], flush=True)
    facts["names"] = measure_names(model, judges, options.out)
    print(facts["names"], flush=True)
    facts["control"] = measure_control(model, options.assets, options.held_out)
    print(facts["control"], flush=True)
    files = [file for file in options.assets.rglob("*") if file.is_file()]
    facts["bytes"] = {str(file.relative_to(options.assets)): file.stat().st_size for file in files}
    facts["bytes_in_all"] = sum(facts["bytes"].values())
    write_json(options.out / "measured.json", facts)
    print(f"{facts['bytes_in_all'] / 1e6:.1f} MB in all")


def load_bundle(assets: Path) -> Model:
    """The model from the shipped parts, in float32, by way of one single file."""
    from safetensors.torch import load_file, save_file

    with TemporaryDirectory() as scratch:
        folder, single = Path(scratch), Path(scratch) / "single.safetensors"
        tensors = {}
        for part in sorted(assets.glob("portraits-*-of-*.safetensors")):
            tensors |= load_file(str(part))
        save_file(tensors, str(single))
        for part in ("unet", "vae", "text_encoder"):
            (folder / part).mkdir()
            (folder / part / "config.json").write_text((assets / "config" / part / "config.json").read_text())
        list(write_parts(single, read_layout(assets / "config"), folder, "fp32"))
        unet = UNet2DConditionModel.from_pretrained(folder / "unet")
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder")
        vae = AutoencoderKL.from_pretrained(folder / "vae")
    return Model(unet.float().eval(), text_encoder.float().eval(), vae.float().eval(), load_tokenizer())


def measure_round_trip(vae: AutoencoderKL, folder: Path) -> dict[str, float]:
    """PSNR over 500 pictures; dlib's distance between close-ups and their round trips, and of persons."""
    held_out = load_pictures(folder, Ranks(0, 1, torch.device("cpu")), whole=True, most=500)
    close = [i for i, record in enumerate(held_out.records) if record["framing"] == "close"][:CLOSE_UPS]
    images = held_out.images[close]
    after = np.concatenate(
        [as_bytes(round_trip(vae, as_unit(p, torch.float32))) for p in images.split(AT_ONCE)]
    )
    pairs = [(embed(before), embed(back)) for before, back in zip(images.numpy(), after, strict=True)]
    found = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not found:
        raise SystemExit(f"no face is found in {len(close)} close-ups after a round trip")
    same = [float(np.linalg.norm(a - b)) for a, b in found]
    who = [held_out.records[i]["identity"] for i in close]
    firsts = [pairs[who.index(person)][0] for person in dict.fromkeys(who)]
    known = [first for first in firsts if first is not None]
    other = [float(np.linalg.norm(a - b)) for n, a in enumerate(known) for b in known[:n]]
    return measure_vae(vae, held_out) | {
        "dlib_round_trip_mean": round(float(np.mean(same)), 4),
        "dlib_round_trip_worst": round(max(same), 4),
        "dlib_other_persons_mean": round(float(np.mean(other)), 4),
        "close_ups": len(close),
        "close_ups_found_before_and_after": len(found),
    }


def embed(image: np.ndarray) -> np.ndarray | None:
    return embed_face(Image.fromarray(image))


def measure_drawing(model: Model, judges: Judges, count: int, out: Path) -> dict[str, float]:
    """Faces found, woman or man, place, seconds; half of the prompts carry the unbound word."""
    wanted = [
        (gender, place, token)
        for token in ("a ", "sks ")
        for place in PLACE_PHRASES
        for gender in ("woman", "man")
    ]
    jobs = [wanted[number % len(wanted)] for number in range(count)]
    generated, start = [], time.monotonic()
    for first in range(0, count, AT_ONCE):
        prompts = [
            f"a photo of {token}{gender} {PLACE_PHRASES[place]}, portrait"
            for gender, place, token in jobs[first : first + AT_ONCE]
        ]
        generated.append(sample(model, prompts, seed=first))
    seconds = (time.monotonic() - start) / count
    images = np.concatenate(generated)
    write_sheet(
        out / "drawn.png", [images[row : row + AT_ONCE] for row in range(0, min(count, 100), AT_ONCE)]
    )
    faces = [largest_face(image) for image in images]
    found = [number for number, face in enumerate(faces) if face is not None]
    unit = as_unit(torch.from_numpy(images), torch.float32)
    boxes = torch.tensor([face.box for face in faces if face is not None], dtype=torch.float32)
    genders = judges.genders(unit[found], boxes_from_detector(boxes))
    places = judges.where(unit)
    right = [gender == jobs[number][0] for gender, number in zip(genders, found, strict=True)]
    token = [ok for ok, number in zip(right, found, strict=True) if jobs[number][2] == "sks "]
    return {
        "pictures": count,
        "face_found": round(len(found) / count, 4),
        "woman_man_right": round(float(np.mean(right)), 4),
        "woman_man_right_with_sks": round(float(np.mean(token)), 4),
        "place_right": round(float(np.mean([p == job[1] for p, job in zip(places, jobs, strict=True)])), 4),
        "seconds_a_picture_in_tens": round(seconds, 3),
        "seconds_a_picture_alone": round(time_alone(model), 3),
        "threads": torch.get_num_threads(),
    }


@torch.no_grad()
def measure_names(model: Model, judges: Judges, out: Path) -> dict[str, float]:
    """Whether a name draws its own person, by the judge, who knows the person off eight renders.

    Of half of these names the persons are in no picture that a training saw.
    """
    places = list(PLACE_PHRASES)
    people = [identity(NAME_SEED0 + number) for number in NAMED]
    rng = np.random.default_rng(12)
    known = torch.cat([judges.embeddings(*_renders(person, rng)).mean(0, keepdim=True) for person in people])
    generated, who = [], []
    for turn, (number, person) in enumerate(zip(NAMED, people, strict=True)):
        where = [PLACE_PHRASES[places[(turn + step) % len(places)]] for step in range(PLACES_OF_A_NAME)]
        prompts = [f"a photo of {NAMES[number]} {person.gender} face {place}" for place in where]
        generated.append(sample(model, prompts, seed=number))
        who += [turn] * PLACES_OF_A_NAME
    images = np.concatenate(generated)
    write_sheet(out / "names.png", [images[row : row + 12] for row in range(0, 96, 12)])
    faces = {index: face for index, image in enumerate(images) if (face := largest_face(image))}
    boxes = boxes_from_detector(torch.tensor([face.box for face in faces.values()], dtype=torch.float32))
    found = judges.embeddings(as_unit(torch.from_numpy(images[list(faces)]), torch.float32), boxes)
    cosines = torch.nn.functional.normalize(found) @ torch.nn.functional.normalize(known).T
    own = torch.tensor([who[index] for index in faces])
    mine = cosines[torch.arange(len(own)), own]
    taken, half = mine > judges.same_person, len(NAMED) // 2
    return {
        "names": len(NAMED),
        "pictures": len(images),
        "face_found": round(len(faces) / len(images), 4),
        "taken_for_the_person": round(float(taken.sum()) / len(images), 4),
        "the_same_of_persons_in_no_picture": round(float(taken[own >= half].sum()) / len(images) * 2, 4),
        "nearest_to_the_person": round(float((cosines.argmax(1) == own).float().sum()) / len(images), 4),
        "cosine_to_the_person": round(float(mine.mean()), 4),
        "cosine_to_others": round(float((cosines.sum() - mine.sum()) / (cosines.numel() - len(own))), 4),
    }


def measure_control(model: Model, assets: Path, folder: Path) -> dict[str, float]:
    """F1 of the canny edges of what is drawn against those of held-out renders, by map, and without any."""
    found, ranks = {}, Ranks(0, 1, torch.device("cpu"))
    parts = [slice(first, first + AT_ONCE) for first in range(0, MEASURED, AT_ONCE)]
    for kind in CONTROL_KINDS:
        control = ControlNetModel.from_pretrained(assets / "controlnet" / kind).float().eval()
        examples = Examples(folder, kind, ranks)
        generated = [examples.draw(model, control, part) for part in parts]
        found[kind] = edge_f1(np.concatenate(generated), examples.canny)
    free = [sample(model, examples.prompts[part], seed=part.start) for part in parts]
    return found | {"neither": edge_f1(np.concatenate(free), examples.canny)}


def _renders(person: Identity, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight pictures of a person by the renderer, and where the face is."""
    control_results = [draw(person, scene(rng, person, place=place)) for place in list(PLACE_PHRASES)[:8]]
    images = torch.from_numpy(np.stack([generation.image for generation in control_results]))
    boxes = torch.tensor([generation.face_box for generation in control_results], dtype=torch.float32)
    return as_unit(images, torch.float32), boxes


def time_alone(model: Model) -> float:
    """Seconds of one picture of 20 steps, the median of five."""
    taken = []
    for seed in range(6):
        start = time.monotonic()
        sample(model, ["a photo of woman face"], seed=seed)
        taken.append(time.monotonic() - start)
    return float(np.median(taken[1:]))


def largest_face(image: np.ndarray) -> Face | None:
    return max(detect_faces(Image.fromarray(image)), key=lambda face: face.size_px, default=None)


if __name__ == "__main__":
    main()
