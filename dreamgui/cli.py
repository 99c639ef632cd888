"""``python -m dreamgui KIND ...``: every job from a terminal. Its options are the fields of its config model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dreamgui.config import JOBS, JobConfig
from dreamgui.errors import DreamError, OutOfRange
from dreamgui.events import Done, Ending
from dreamgui.terminal import Terminal, unfailing

OF_A_TRAINING = ("train", "preflight")
"""Commands whose --preset is a file of settings. A comparison's own field of this name is how many prompts and seeds."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when the job was done, 1 when it failed or was stopped, 2 when the input can't be used.
    """
    with unfailing():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    options = vars(_parser().parse_args(argv))
    command, home = options.pop("command"), options.pop("home")
    try:
        if command == "doctor":
            from dreamgui.doctor import report

            return report(home)
        if command == "inspect":
            from dreamgui.models.recognition.inspect_file import inspect_file

            print("\n".join(inspect_file(options["file"])))
            return 0
        if unpack := options.pop("unpack", None):
            from dreamgui.models.sources.demo_bundle import unpack as unpack_demo

            print("\n".join(str(path) for path in unpack_demo(unpack)))
            return 0
        if command in OF_A_TRAINING and (preset := options.pop("preset", None)):
            options = _with_preset(preset, options, home)
        return run(JOBS[command].model_validate(options), home)
    except ValidationError as error:
        print(f"dreamgui: {OutOfRange.from_validation(error)}", file=sys.stderr)
    except DreamError as error:
        print(f"dreamgui: {error}", file=sys.stderr)
    return 2


def _with_preset(preset: str, options: dict[str, Any], home: Path | None) -> dict[str, Any]:
    """Return a training's options with a preset's settings where none are given, and print what was taken and what not."""
    from dreamgui.presets.account import lines_of
    from dreamgui.presets.files import read_preset
    from dreamgui.presets.shelf import find_preset
    from dreamgui.workspace import Workspace

    path = Path(preset)
    reading = read_preset(path if path.is_file() or path.suffix else find_preset(Workspace(home), preset))
    print("\n".join(lines_of(reading, given=options)))
    return reading.settings | options


def run(config: JobConfig, home: Path | None = None) -> int:
    """Run one job to its end, its events printed as they come. Ctrl-C stops it and keeps what it saved."""
    from dreamgui.services import build

    job, terminal = build(home).jobs.submit(config), Terminal(sys.stdout)
    position, ending = 0, None
    while ending is None:
        try:
            for event in job.follow(position, heartbeat_seconds=0.5):
                if event is not None:
                    position += 1
                    terminal.show(event)
                    ending = event if isinstance(event, Ending) else None
        except KeyboardInterrupt:
            print("\nStopping; what was saved is kept (Ctrl-C again quits at once).", file=sys.stderr)
            if job.stopping:
                return 1
            job.stop()
    if not job.kept:
        print(f"The log of job {job.id} isn't whole: the disk is full or can't be written.", file=sys.stderr)
    return 0 if isinstance(ending, Done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dreamgui", description="Train Stable Diffusion 1.5 on one person.")
    parser.add_argument(
        "--home", type=Path, help="workspace folder (default: DREAMGUI_HOME or the user data folder)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for kind, model in JOBS.items():
        summary = (model.__doc__ or "").split("\n")[0]
        command = commands.add_parser(kind.replace("_", "-"), help=summary, description=summary)
        command.set_defaults(command=kind)
        for name, field in model.model_fields.items():
            _add_option(command, name, field)
        if kind in OF_A_TRAINING:
            command.add_argument(
                "--preset",
                metavar="FILE",
                default=argparse.SUPPRESS,
                help="settings of a preset, job.json, run.json, kohya_ss, sd-scripts or OneTrainer file, or of a saved "
                "preset by name; other options win over them",
            )
        if kind == "demo":
            command.add_argument(
                "--unpack", type=Path, metavar="DIR", help="only write the bundled model and photos"
            )
    commands.add_parser("doctor", help="What this machine has, and whether DreamGUI can work here")
    inspect = commands.add_parser("inspect", help="What a model file or folder is, in five lines")
    inspect.add_argument("file", type=Path)
    return parser


def _add_option(command: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    """One field as one option. Limits are checked by the config model, not here."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    options: dict[str, Any] = {
        "help": (field.description or "").replace("%", "%%"),
        "default": argparse.SUPPRESS,
    }
    kind, many, choices = _shape(field.annotation)
    if kind is bool:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["type"] = (_one_of_many if many else _decimal) if kind is float else kind
    if choices:
        options["choices"] = choices
    if extra.get("positional"):
        options["nargs"] = (
            ("+" if field.is_required() else "*") if many else (None if field.is_required() else "?")
        )
        command.add_argument(name, **options)
        return
    if many:
        options["nargs"] = "+"
    # A field may not be called "from".
    flag = "--" + name.rstrip("_").replace("_", "-")
    command.add_argument(flag, dest=name, required=field.is_required(), **options)


def _decimal(text: str) -> float:
    """Return a number, also one with a decimal comma."""
    return _number(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def _one_of_many(text: str) -> float:
    """Return one of several numbers. Refuse a comma in it, as it may be decimal or stand between two numbers."""
    if "," in text:
        one, several = text.replace(",", ".", 1), text.replace(",", " ")
        raise argparse.ArgumentTypeError(
            f"'{text}' can be one number or several: write {one} for one, or {several} for several"
        )
    return _number(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no number: write 0.0001 or 1e-4") from None


def _shape(annotation: Any) -> tuple[type, bool, tuple[str, ...]]:
    """(type of one value, whether there may be many, the choices) of a field's annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return str, False, arguments
    if origin in (Union, UnionType):
        return _shape(next(kind for kind in arguments if kind is not type(None)))
    if origin is tuple:
        kind, _, choices = _shape(arguments[0])
        return kind, True, choices
    return annotation, False, ()
