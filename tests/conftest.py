"""The order of the tests."""

from __future__ import annotations

import pytest

LONG = (
    "recipes/test_ranks.py", "recipes/test_computed_memory.py", "recipes/test_learning.py",
    "diffusion/test_compiler.py", "diffusion/test_sharded.py", "recipes/test_sweep.py",
    "recipes/test_train_beside.py", "recipes/test_train.py", "diffusion/test_kernels.py", "recipes/test_demo.py",
)  # fmt: skip
"""Files that take longest, side by side with others: begun last they would keep one process busy alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; within a file nothing changes."""

    def place(item: pytest.Item) -> int:
        names = [number for number, name in enumerate(LONG) if item.path.as_posix().endswith(f"tests/{name}")]
        return names[0] if names else len(LONG)

    items.sort(key=place)
