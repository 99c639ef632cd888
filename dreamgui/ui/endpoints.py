"""What programs call (``gradio_client``): stop, status, and an endpoint a job, typed after its model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from gradio.events import api
from gradio.utils import get_upload_folder
from pydantic.fields import FieldInfo

from dreamgui.assets import asset
from dreamgui.config import (
    ClassImagesJob,
    CompareJob,
    ControlJob,
    ConvertJob,
    CropJob,
    JobConfig,
    PreflightJob,
    SweepJob,
    TrainJob,
)
from dreamgui.errors import BadInput
from dreamgui.events import Cell, Failed, Hint, Sampled, Saved
from dreamgui.services import Services
from dreamgui.ui.form import make_config
from dreamgui.ui.pictures import file_data, zip_data
from dreamgui.ui.session import Device, owner_of, told
from dreamgui.ui.stream import JobView, summary
from dreamgui.ui.widgets import holds_path

ACTIONS: tuple[type[JobConfig], ...] = (
    CropJob,
    ConvertJob,
    ClassImagesJob,
    TrainJob,
    PreflightJob,
    SweepJob,
    CompareJob,
    ControlJob,
)
LOOK_SECONDS = 0.5
DEMO = "demo"


def add_endpoints(services: Services, device: Device, local: bool) -> None:
    """Register all endpoints in the Blocks that is being built.

    Args:
        local: whether whoever calls may name files of this machine; else only uploaded ones.
    """
    for model in ACTIONS:
        api(_action(model, services, local), api_name=model.kind, concurrency_limit=None)

    def stop(kind: str = "train") -> dict[str, Any]:
        """Stop the job of this kind that runs or waits; what it has saved is kept."""
        active = services.jobs.active(kind)
        for job in active:
            job.stop()
        return {"stopped": [job.id for job in active]}

    def status() -> dict[str, Any]:
        """The device, the jobs that run or wait, and the names of all models, runs and data sets."""
        catalog = services.catalog
        return {
            "device": device.status(),
            "jobs": [{"job": job.id, "kind": job.kind, "state": job.state} for job in services.jobs.active()],
            "models": catalog.bases(),
            "runs": [card.name for card in catalog.runs() if card.finished],
            "datasets": services.workspace.names("datasets"),
        }

    api(stop, api_name="stop", concurrency_limit=None)
    api(status, api_name="status", concurrency_limit=None)


def _action(model: type[JobConfig], services: Services, local: bool) -> Callable[..., Any]:
    """The endpoint of one job: starts it and streams how it stands until its end.

    Its signature is made from the model, so that names and defaults in the API are the model's.
    """
    names = _parameter_names(model)

    async def action(*values: Any) -> AsyncIterator[dict[str, Any]]:
        *received, request = values
        given = dict(zip(names, received, strict=True))
        job = told(lambda: services.jobs.submit(_config(model, given, local), owner_of(request)))
        view = JobView(job)
        while view.ending is None:
            if view.catch_up():
                yield summary(view)
            await asyncio.sleep(LOOK_SECONDS)
        if isinstance(view.ending, Failed):
            raise gr.Error(f"{view.ending.what} {view.ending.next_step}", print_exception=False)
        yield summary(view) | {"files": await asyncio.to_thread(_files, view)}

    return _typed(action, model)


def _files(view: JobView) -> dict[str, Any]:
    """A finished job's pictures, and its report as a zip file; gradio_client downloads them."""
    drawn: list[tuple[dict[str, Any], object]] = []
    drawn += [({"step": item.step, "prompt": item.prompt}, item.image) for item in view.all(Sampled)]
    drawn += [({"map": item.control}, item.image) for item in view.all(Hint)]
    drawn += [
        ({"model": item.model, "prompt": item.prompt, "seed": item.seed}, item.image)
        for item in view.all(Cell)
    ]
    pictures = [{**facts, "image": file_data(path)} for facts, path in drawn if isinstance(path, Path)]
    reports = [zip_data(saved.path) for saved in view.all(Saved) if saved.what == "report"]
    return {"pictures": pictures, "report": reports[-1] if reports else None}


def _typed(action: Callable[..., Any], model: type[JobConfig]) -> Callable[..., Any]:
    """Give a function a model's parameters: gradio reads names, defaults and types from its signature."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters, types = [], {}
    for name in _parameter_names(model):
        field = model.model_fields[name]
        types[name] = _json_type(field)
        default = inspect.Parameter.empty if field.is_required() else _json_value(field.default)
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=types[name]))
    parameters.append(inspect.Parameter("request", kind, default=None, annotation=gr.Request))
    action.__name__ = model.kind
    action.__doc__ = model.__doc__
    action.__signature__ = inspect.Signature(parameters, return_annotation=dict)  # pyright: ignore[reportFunctionMemberAccess]
    action.__annotations__ = {**types, "request": gr.Request, "return": dict}
    return action


def _parameter_names(model: type[JobConfig]) -> list[str]:
    """The model's fields, those without a default first, as a signature needs it."""
    return sorted(model.model_fields, key=lambda name: not model.model_fields[name].is_required())


def _json_type(field: FieldInfo) -> Any:
    """A field's type as JSON knows it; files are strings (or uploaded files)."""
    annotation = field.annotation
    if get_origin(annotation) is tuple:
        return list[str]
    if get_origin(annotation) is Literal or annotation in (bool, int, float, str):
        return annotation
    kinds = get_args(annotation)
    return next((kind | None for kind in (float, int) if kind in kinds), str)


def _json_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _config(model: type[JobConfig], given: dict[str, Any], local: bool) -> JobConfig:
    """The config from what a program sent."""
    fields = model.model_fields
    return make_config(model, {name: _received(name, fields[name], given[name], local) for name in given})


def _received(name: str, field: FieldInfo, value: Any, local: bool) -> Any:
    """A parameter's value as the config wants it, files as paths."""
    if name == "photos":
        items = value if isinstance(value, list) else [value]
        return [asset("demo/photos")] if DEMO in items else [_file(item, local) for item in items]
    if name == "source" and not isinstance(value, dict) and (local or value == DEMO):
        return value
    if name == "source" or (value and holds_path(field)):
        return str(_file(value, local))
    return value


def _file(value: Any, local: bool) -> Path:
    """The path of an uploaded file, or of a file of this machine where that is allowed."""
    path = Path(value["path"] if isinstance(value, dict) and "path" in value else str(value))
    uploaded = path.resolve().is_relative_to(Path(get_upload_folder()).resolve())
    if not uploaded and not local:
        raise BadInput(f"{path.name!r} wasn't uploaded.", "Upload the file (handle_file in gradio_client).")
    return path
