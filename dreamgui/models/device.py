"""The device that models live on: which one, what it is called, what memory it has and when that is short."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch

from dreamgui import bootstrap

# What PyTorch says on the CPU, on Apple's GPU, and for the libraries on CUDA.
_SHORT_OF_MEMORY = ("not enough memory", "MPS backend out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def choose_device() -> torch.device:
    """CUDA, else Apple's MPS, else the CPU. A Space on ZeroGPU has CUDA in the processes that it is lent for only."""
    if bootstrap.on_zero_gpu() and not bootstrap.is_short():
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def current(device: torch.device) -> AbstractContextManager[Any]:
    """Inside the block the device is what streams, graphs and kernels of this thread go to, where it is one of several."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def train_dtype(device: torch.device) -> torch.dtype:
    """The compute format for training: bf16 where the GPU has it, fp16 on other CUDA GPUs, else fp32."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error of PyTorch's says that memory was short. Only CUDA's has a class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _SHORT_OF_MEMORY)


@cache
def leave_libraries_alone() -> None:
    """Called before the first model is loaded: what is there by then stays until the process ends.

    That is half a million objects of libraries. Looking through them for what nothing refers to, as is done
    whenever a model goes, takes half a second in which no other thread runs: the page would get no answer.
    """
    gc.freeze()


def give_back_memory() -> None:
    """Give memory that nothing refers to back to the device, for other programs too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def device_name(device: torch.device) -> str:
    """Return the device's name for the user."""
    if bootstrap.on_zero_gpu() and not bootstrap.is_short():
        return "ZeroGPU, lent for each job"
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else f"CPU, {os.cpu_count()} cores"


def free_bytes(device: torch.device) -> int:
    """CUDA memory that this process could still take, under a cap that it was given."""
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    free += torch.cuda.memory_reserved(device) - allocated
    return min(free, int(torch.cuda.get_per_process_memory_fraction(device.index) * total) - allocated)


def memory_bytes(device: torch.device) -> tuple[int, int]:
    """Used and total memory of the device, on the CPU that of the whole machine, as far as it says so."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free, total
    if device.type == "mps":
        return torch.mps.driver_allocated_memory(), torch.mps.recommended_max_memory()
    import psutil

    memory = psutil.virtual_memory()
    return memory.total - memory.available, memory.total
