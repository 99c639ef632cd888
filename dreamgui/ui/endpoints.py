"""Endpoints for programs (``gradio_client``): stop, status, and one per job, typed after its model.

Endpoints of the other buttons are in ``item_endpoints.py``; docs/api.md has an example of each.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from gradio.events import api
from pydantic.fields import FieldInfo

from dreamgui.assets import asset
from dreamgui.config import JOBS, DemoJob, JobConfig
from dreamgui.errors import BadInput, UnknownName
from dreamgui.events import Cell, ControlMap, Failed, Sampled, Saved
from dreamgui.names import composed
from dreamgui.services import Services
from dreamgui.training.resumable import kept_steps, resumable
from dreamgui.ui.parts.form import make_config
from dreamgui.ui.parts.pictures import as_file, file_data, offered, zip_data
from dreamgui.ui.parts.session import Device, as_ui_error, owner_of
from dreamgui.ui.parts.stream import JobView, summary
from dreamgui.ui.parts.toasts import failure
from dreamgui.ui.parts.uploads import uploaded
from dreamgui.ui.parts.widgets import extra, holds_path
from dreamgui.workspace import EXPORTS, Workspace

ACTIONS = tuple(job for job in JOBS.values() if job is not DemoJob)
"""Jobs that a page and a program may start; the demo is the command line's."""
LARGEST_EXPORT_BYTES = 5_000_000_000
LOOK_SECONDS = 0.5
DEMO = "demo"
MODEL_FILES = ("control_model", "second_model")
UPLOADED = ("source", "image", "mask", "file", *MODEL_FILES)
"""Fields with a file that strangers upload; all others with a path name a place on the server."""


def add_endpoints(services: Services, device: Device, local: bool) -> None:
    """Register all endpoints in the Blocks that is being built.

    Args:
        local: callers may name files of this machine; else only uploaded ones.
    """
    for model in ACTIONS:
        api(_action(model, services, local), api_name=model.kind, concurrency_limit=None)

    def stop(kind: str = "train") -> dict[str, Any]:
        """Stop the running or waiting job of this kind. Its saved results are kept."""
        active = services.jobs.active(kind)
        for job in active:
            job.stop()
        return {"stopped": [job.id for job in active]}

    def status() -> dict[str, Any]:
        """Return the device, the running and waiting jobs, the names of all models, finished runs and datasets, and
        the checkpoints' steps of each resumable run."""
        catalog = services.catalog
        return {
            "device": device.status(),
            "jobs": [{"job": job.id, "kind": job.kind, "state": job.state} for job in services.jobs.active()],
            "models": catalog.bases(),
            "runs": [card.name for card in catalog.runs() if card.finished],
            "resumable": {
                card.name: kept_steps(services.workspace.place("runs", card.name))
                for card in resumable(services.workspace, catalog)
            },
            "datasets": services.workspace.names("datasets"),
        }

    api(stop, api_name="stop", concurrency_limit=None)
    api(status, api_name="status", concurrency_limit=None)


def _action(model: type[JobConfig], services: Services, local: bool) -> Callable[..., Any]:
    """Return the endpoint of one job: it starts the job and streams its state until its end.

    The signature is made from the model, so the API's names are the model's. A parameter with a default is null
    here unless given, so that the job knows the given ones.
    """
    names = _parameter_names(model)

    async def action(*values: Any) -> AsyncIterator[dict[str, Any]]:
        *received, request = values
        given = dict(zip(names, received, strict=True))
        job = as_ui_error(
            lambda: services.jobs.submit(_config(model, given, services.workspace, local), owner_of(request))
        )
        view = JobView(job)
        while view.ending is None:
            if view.catch_up():
                yield summary(view)
            await asyncio.sleep(LOOK_SECONDS)
        if isinstance(view.ending, Failed):
            raise failure(f"{view.ending.what} {view.ending.next_step}")
        yield summary(view) | {"files": await asyncio.to_thread(_files, view, services.workspace)}

    return _typed(action, model)


def _files(view: JobView, workspace: Workspace) -> dict[str, Any]:
    """Return a finished job's pictures, report (zip) and exported file (zip of a folder), for gradio_client to download."""
    generated: list[tuple[dict[str, Any], object]] = []
    generated += [({"step": item.step, "prompt": item.prompt}, item.image) for item in view.all(Sampled)]
    generated += [({"map": item.control}, item.image) for item in view.all(ControlMap)]
    generated += [
        ({"model": item.model, "prompt": item.prompt, "seed": item.seed}, item.image)
        for item in view.all(Cell)
    ]
    pictures = [{**facts, "image": file_data(path)} for facts, path in generated if isinstance(path, Path)]
    reports = [zip_data(saved.path) for saved in view.all(Saved) if saved.what == "report"]
    exports = [found for saved in view.all(Saved) if (found := _export(saved, workspace))]
    return {
        "pictures": pictures,
        "report": reports[-1] if reports else None,
        "export": exports[-1] if exports else None,
    }


def _export(saved: Saved, workspace: Workspace) -> dict[str, Any] | None:
    """Return an export of the workspace's exports, or None for another result, or one that the caller placed elsewhere."""
    if saved.what != "export" or saved.path.parent != workspace.root / EXPORTS:
        return None
    if saved.path.is_dir():
        return zip_data(saved.path)
    return as_file(offered(saved.path)) if saved.path.stat().st_size <= LARGEST_EXPORT_BYTES else None


def _typed(action: Callable[..., Any], model: type[JobConfig]) -> Callable[..., Any]:
    """Give a function a model's parameters. Gradio reads names, defaults and types from its signature."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters, types = [], {}
    for name in _parameter_names(model):
        field = model.model_fields[name]
        types[name] = _json_type(field)
        default = inspect.Parameter.empty if field.is_required() else None
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=types[name]))
    parameters.append(inspect.Parameter("request", kind, default=None, annotation=gr.Request))
    action.__name__ = model.kind
    action.__doc__ = _described(model)
    action.__signature__ = inspect.Signature(parameters, return_annotation=dict)  # pyright: ignore[reportFunctionMemberAccess]
    action.__annotations__ = {**types, "request": gr.Request, "return": dict}
    return action


def _described(model: type[JobConfig]) -> str:
    """Return the model's summary, its parameters, and the defaults of those left out."""
    usual = ", ".join(
        f"{name} {_json_value(field.default)!r}"
        for name, field in model.model_fields.items()
        if field.default not in (None, "") and not field.is_required()
    )
    fields = "\n".join(f"{name}: {field.description}" for name, field in model.model_fields.items())
    return (
        f"{model.__doc__}\n\nA parameter that is left out, or null, isn't given. It takes the resumed run's own setting, "
        f"or follows the dataset's prompt, or is the default: {usual}.\n\n{fields}"
    )


def _parameter_names(model: type[JobConfig]) -> list[str]:
    """Return the model's fields in a signature's order: those without a default first."""
    return sorted(model.model_fields, key=lambda name: not model.model_fields[name].is_required())


def _json_type(field: FieldInfo) -> Any:
    """Return a field's JSON type. Null is allowed where the field may be left out."""
    return _bare_type(field.annotation) if field.is_required() else _bare_type(field.annotation) | None


def _bare_type(annotation: Any) -> Any:
    """Return the JSON type of an annotation. Files are strings (or uploaded files)."""
    if get_origin(annotation) is tuple:
        return list[str]
    if get_origin(annotation) is Literal or annotation in (bool, int, float, str):
        return annotation
    kinds = get_args(annotation)
    return next((kind for kind in (float, int) if kind in kinds), str)


def _json_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _config(model: type[JobConfig], given: dict[str, Any], workspace: Workspace, local: bool) -> JobConfig:
    """Return the config from a program's values. Null counts as not given."""
    fields = model.model_fields
    sent = {name: value for name, value in given.items() if value is not None}
    if not local:
        for name in sent:
            _require_names(fields[name], sent[name], workspace)
    return make_config(model, {name: _received(name, fields[name], sent[name], local) for name in sent})


def _require_names(field: FieldInfo, value: Any, workspace: Workspace) -> None:
    """Refuse what isn't a name in a field that names a model or dataset: such a field may take a file's path too."""
    if not extra(field, "choices"):
        return
    known = {name for shelf in ("models", "runs", "datasets") for name in workspace.names(shelf)}
    for name in value if isinstance(value, list) else [value]:
        # A model kept on a run's way is RUN@STEP.
        if name and known.isdisjoint({composed(str(name)), composed(str(name)).rpartition("@")[0]}):
            raise UnknownName(
                f"There is no model, run or dataset named {str(name)!r:.80}.",
                "Choose one that /status names.",
            )


def _received(name: str, field: FieldInfo, value: Any, local: bool) -> Any:
    """Return a parameter's value for the config, files as paths.

    Raises:
        BadInput: a stranger names a place of the server, or a file that isn't theirs.
    """
    if name == "photos":
        items = value if isinstance(value, list) else [value]
        return [asset("demo/photos")] if DEMO in items else [received_file(item, local) for item in items]
    if name == "source" and not isinstance(value, dict) and (local or value == DEMO):
        return value
    if not value or not (name == "source" or holds_path(field) or name in MODEL_FILES):
        return value
    if not local and name not in UPLOADED:
        raise BadInput(f"{name} is a path on the server.", "Leave it out; the result can be downloaded.")
    if local and name in MODEL_FILES:
        return value
    return str(received_file(value, local))


def received_file(value: Any, local: bool) -> Path:
    """Return the path of an uploaded file, or of a file or folder of this machine if ``local``.

    Raises:
        BadInput: a stranger names a file that isn't theirs.
    """
    if not local:
        return uploaded(value)
    return Path(value["path"] if isinstance(value, dict) and "path" in value else str(value))
