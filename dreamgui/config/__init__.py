"""What a user can ask for: one frozen model a job.

The form in a tab, the command line, the saved ``job.json``, the metadata inside an exported file and the
API's parameter names all derive from these fields; nowhere are they listed a second time.
"""

from __future__ import annotations

from typing import TypeVar

from dreamgui.config.fields import (
    COMPARE_PROMPTS,
    ControlKind,
    Dtype,
    ExportFormat,
    FinishWith,
    Framing,
    JobConfig,
    Lines,
    LoraTargets,
    MemoryTier,
    Method,
    MixWay,
    ModelForm,
    OptimizerName,
    OptionalFolder,
    Ranks,
    Rates,
    Schedule,
    SchedulerName,
    SourceText,
    UnetWeights,
    knob,
)
from dreamgui.config.training import ClassImagesJob, PreflightJob, SweepJob, TrainJob, TrainSettings
from dreamgui.config.work import CompareJob, ControlJob, ConvertJob, CropJob, DemoJob, DrawSettings
from dreamgui.config.workshop import ExportJob, ExtractJob, MergeJob, MixJob, ResizeJob, TokensJob

__all__ = [
    "COMPARE_PROMPTS",
    "JOBS",
    "AnyJob",
    "ClassImagesJob",
    "CompareJob",
    "ControlJob",
    "ControlKind",
    "ConvertJob",
    "CropJob",
    "DemoJob",
    "DrawSettings",
    "Dtype",
    "ExportFormat",
    "ExportJob",
    "ExtractJob",
    "FinishWith",
    "Framing",
    "JobConfig",
    "Lines",
    "LoraTargets",
    "MemoryTier",
    "MergeJob",
    "Method",
    "MixJob",
    "MixWay",
    "ModelForm",
    "OptimizerName",
    "OptionalFolder",
    "PreflightJob",
    "Ranks",
    "Rates",
    "ResizeJob",
    "Schedule",
    "SchedulerName",
    "SourceText",
    "SweepJob",
    "TokensJob",
    "TrainJob",
    "TrainSettings",
    "UnetWeights",
    "knob",
]

JOBS: dict[str, type[JobConfig]] = {
    job.kind: job
    for job in (
        CropJob, ConvertJob, ClassImagesJob, TrainJob, PreflightJob, SweepJob, CompareJob, ControlJob, DemoJob,
        ExportJob, MergeJob, ExtractJob, ResizeJob, MixJob, TokensJob,
    )
}  # fmt: skip
AnyJob = TypeVar("AnyJob", bound=JobConfig)
