"""Jobs that a user can start: one frozen model each.

The form in a tab, the command line, the saved ``job.json``, the metadata inside an exported file and the
API's parameter names all derive from these fields. No other place lists them.
"""

from __future__ import annotations

from typing import TypeVar

from dreamgui.config.class_images import ClassImagesJob
from dreamgui.config.compare import PAPER_PROMPTS, PRESETS, SEED_STRIDE, CompareJob, Preset
from dreamgui.config.control import ControlJob
from dreamgui.config.fields import (
    COMPARE_PROMPTS,
    SAMPLER_NAMES,
    ControlImage,
    ControlKind,
    DatasetLayout,
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
from dreamgui.config.generate import GenerateJob
from dreamgui.config.jobs import JOBS, ConvertJob, CropJob, DemoJob
from dreamgui.config.preflight import PreflightJob
from dreamgui.config.sampling import GenerationSettings
from dreamgui.config.sweep import SweepJob
from dreamgui.config.training import TrainJob, TrainSettings
from dreamgui.config.workshop import (
    ExportJob,
    ExtractJob,
    ImportJob,
    KeepJob,
    MergeJob,
    MixJob,
    PushJob,
    ResizeJob,
    TokensJob,
)

__all__ = [
    "COMPARE_PROMPTS",
    "JOBS",
    "PAPER_PROMPTS",
    "PRESETS",
    "SAMPLER_NAMES",
    "SEED_STRIDE",
    "AnyJob",
    "ClassImagesJob",
    "CompareJob",
    "ControlImage",
    "ControlJob",
    "ControlKind",
    "ConvertJob",
    "CropJob",
    "DatasetLayout",
    "DemoJob",
    "Dtype",
    "ExportFormat",
    "ExportJob",
    "ExtractJob",
    "FinishWith",
    "Framing",
    "GenerateJob",
    "GenerationSettings",
    "ImportJob",
    "JobConfig",
    "KeepJob",
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
    "Preset",
    "PushJob",
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

AnyJob = TypeVar("AnyJob", bound=JobConfig)
