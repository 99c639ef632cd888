"""The prompts of a training and of pictures of its run: given ones, else those that follow from the dataset's prompt."""

from __future__ import annotations

from typing import TypeVar

from dreamgui.config import ClassImagesJob, CompareJob, ControlJob, TrainSettings
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.person_words import class_of, classes_in
from dreamgui.errors import BadInput
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.training.origin import followed_dataset
from dreamgui.workspace import Workspace

AnySettings = TypeVar("AnySettings", bound=TrainSettings)
Generating = TypeVar("Generating", CompareJob, ControlJob)
STANDARD: str = TrainSettings.model_fields["instance_prompt"].default
_GENERATED = ("sample_prompts", "prompts")


def generated_from(prompts: tuple[str, ...], instance_prompt: str) -> tuple[str, ...]:
    """Return the standard sample prompts with another instance prompt in the standard one's place."""
    return tuple(prompt.replace(STANDARD, instance_prompt) for prompt in prompts)


def with_prompts(job: AnySettings, dataset_prompt: str) -> tuple[AnySettings, list[str]]:
    """Return the job with all prompts filled in, and what a user should know of them.

    A prompt that was given stays. The instance prompt is the dataset's otherwise; class, sample and likeness
    prompts follow it.

    Raises:
        BadInput: a prompt that is needed is empty.
    """
    given, fields = job.model_fields_set, type(job).model_fields
    prompt = job.instance_prompt if "instance_prompt" in given else dataset_prompt
    found: dict[str, object] = {"instance_prompt": prompt}
    notes = []
    if prompt != STANDARD:
        for name in _GENERATED:
            if name in fields and name not in given:
                found[name] = generated_from(getattr(job, name), prompt)
        if "class_prompt" not in given:
            derived = class_of(prompt)
            found["class_prompt"] = derived or job.class_prompt
            notes += [_sentence(prompt, derived, job)] if job.prior_preservation or derived else []
    settled = job.model_copy(update=found)
    require_prompts(settled)
    doubt = _doubt(prompt, settled.class_prompt) if settled.prior_preservation else ""
    return settled, [*notes, doubt] if doubt else notes


def followed_class(job: ClassImagesJob, dataset_prompt: str) -> ClassImagesJob:
    """Return the job with the class of a dataset's prompt, unless a class prompt was given."""
    derived = None if "class_prompt" in job.model_fields_set else class_of(dataset_prompt)
    return job.model_copy(update={"class_prompt": derived}) if derived else job


def followed_run(job: Generating, workspace: Workspace, catalog: Catalog) -> tuple[Generating, list[str]]:
    """Return the job with the prompts and the dataset of the first run among its models, and what a user should
    know of that.

    What was given stays. Without a run, or where neither its card nor its dataset tells, nothing changes.

    Raises:
        UnknownName: there is no such model.
    """
    card = next((catalog.run(name) for name in job.models if not catalog.is_base(name)), None)
    if card is None:
        return job, []
    dataset = _dataset_of(card, workspace)
    prompt = card.job.get("instance_prompt") or ""
    if dataset and not prompt:
        prompt = Dataset.peek(workspace.find("datasets", dataset)).instance_prompt
    found: dict[str, object] = {"dataset": dataset} if dataset else {}
    if prompt:
        found["prompt"] = job.prompt.replace(STANDARD, prompt) if isinstance(job, ControlJob) else ""
        found["prompts"] = generated_from(job.prompts, prompt) if isinstance(job, CompareJob) else ()
    return _filled(job, found, f"the run {card.name!r}", prompt)


def _dataset_of(card: RunCard, workspace: Workspace) -> str:
    """Return the name that a run's dataset has now, or "" where it is gone or isn't known."""
    name = card.dataset or card.job.get("dataset") or ""
    name = followed_dataset(workspace, name, card.origin) if name else ""
    return name if name in workspace.names("datasets") else ""


def _filled(
    job: Generating, found: dict[str, object], whose: str, prompt: str
) -> tuple[Generating, list[str]]:
    """The job with what was found for its fields where they weren't given and differ, and a sentence about it."""
    fields = type(job).model_fields.keys() - job.model_fields_set
    new = {name: value for name, value in found.items() if name in fields and value != getattr(job, name)}
    if not new:
        return job, []
    told = [f"the dataset {new['dataset']!r}"] if "dataset" in new else []
    told += [f"prompts with {prompt!r}"] if new.keys() - {"dataset"} else []
    return job.model_copy(update=new), [f"Not given, so as {whose} was trained: {' and '.join(told)}."]


def _sentence(prompt: str, derived: str | None, job: TrainSettings) -> str:
    if derived is None:
        return (
            f"The instance prompt is {prompt!r}. No token was recognised in it, so the class prompt doesn't follow: "
            f"it is {job.class_prompt!r}. Give a class prompt if the class is another."
        )
    return f"The instance prompt is {prompt!r}, and the class prompt {derived!r} follows it."


def require_prompts(job: TrainSettings) -> None:
    """Raise BadInput for a prompt that the training needs and that is empty."""
    needed = ("instance_prompt", "class_prompt") if job.prior_preservation else ("instance_prompt",)
    for name in needed:
        if not getattr(job, name).strip():
            raise BadInput(
                f"The {name.replace('_', ' ')} is empty.",
                f"Give one, for instance {TrainSettings.model_fields[name].default!r}.",
            )


def _doubt(prompt: str, class_prompt: str) -> str:
    """Return what speaks against a class prompt beside this instance prompt, or "" if nothing does."""
    if prompt.split() == class_prompt.split():
        return (
            f"Instance and class prompt are both {prompt!r}: prior preservation then works against the person. "
            "Leave the token out of the class prompt."
        )
    ours, theirs = (classes_in(text) for text in (prompt, class_prompt))
    if ours and theirs and not ours & theirs:
        return (
            f"The class prompt {class_prompt!r} names another class ({', '.join(sorted(theirs))}) than the instance "
            f"prompt {prompt!r} ({', '.join(sorted(ours))})."
        )
    return ""
