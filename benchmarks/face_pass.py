"""The likeness before and after the face pass, on medium and full shots of a workspace's runs.

    python -m benchmarks.face_pass --home FOLDER --runs her-lora her-unet --count 18

Writes ``benchmarks/results/face-pass.json``: for each run the means, and the mean gain with its 95 % interval, of the
pictures with a small face, and of all pictures, where one without a small face stays as it is and gains 0.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamgui.config import GenerateJob
from dreamgui.diffusion.generate.plan import TOKEN
from dreamgui.evaluate.statistics import mean_interval, paired_difference
from dreamgui.pictures.store import picture_path, read_picture, summaries
from dreamgui.services import Services, build

RESULT = Path(__file__).parent / "results" / "face-pass.json"
STEPS, FIRST_SEED = 20, 100
PROMPTS = ("a photo of {token}, full figure, on the beach", "a photo of {token}, upper body, in the forest")


def measured(home: Path, run: str, count: int) -> dict[str, object]:
    """The likeness of ``count`` pictures of each prompt, where a face is found before and after.

    Pictures that an earlier call kept in the workspace are taken as they are.
    """
    services, pairs, unchanged = build(home), [], 0
    for prompt in PROMPTS:
        figures = kept(services, run, prompt)
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            if seed not in figures:
                job = GenerateJob(prompt=prompt, model=run, seed=seed, steps=STEPS, face_pass=True)
                services.jobs.submit(job).wait()
        found = kept(services, run, prompt)
        scores = [found[seed] for seed in range(FIRST_SEED, FIRST_SEED + count)]
        pairs += [(each["likeness_before"], each["likeness"]) for each in scores if "likeness_before" in each]
        unchanged += sum("likeness_before" not in each for each in scores)
    before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    difference, one, two = paired_difference(after, before), mean_interval(before), mean_interval(after)
    assert difference is not None and one is not None and two is not None
    gain, still = difference.interval, [0.0] * unchanged
    measurable = [(one, other) for one, other in pairs if one is not None and other is not None]
    over_all = mean_interval([*(other - one for one, other in measurable), *still])
    assert over_all is not None
    return {
        "run": run, "pictures": len(PROMPTS) * count, "with_a_small_face": len(pairs), "pairs": gain.count,
        "before": round(one.mean, 3), "after": round(two.mean, 3),
        "gain_of_all": round(over_all.mean, 3), "gain_of_all_low": round(over_all.low, 3),
        "gain_of_all_high": round(over_all.high, 3),
        "gain": round(gain.mean, 3), "gain_low": round(gain.low, 3), "gain_high": round(gain.high, 3),
    }  # fmt: skip


def kept(services: Services, run: str, prompt: str) -> dict[int, Mapping[str, Any]]:
    """Figures of the kept pictures of a run and a prompt with the face pass, by seed."""
    end, found = prompt.partition(TOKEN)[2], {}
    for each in summaries(services.workspace):
        if each.model == run and each.prompt.endswith(end):
            picture = read_picture(picture_path(services.workspace, each.name))
            if picture.job.get("face_pass") and picture.job.get("steps") == STEPS:
                found[picture.job["seed"]] = picture.figures
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=18)
    options = parser.parse_args()
    rows = [measured(options.home, run, options.count) for run in options.runs]
    RESULT.write_text(
        json.dumps({"machine": platform.processor() or "CPU", "prompts": PROMPTS, "runs": rows}, indent=1)
        + "\n"
    )
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
