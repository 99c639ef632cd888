"""What a training asks of the other processes, as one answers that has none."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class Alone:
    """The answers of a step that is no other process's concern; those that share a step have others.

    Attributes:
        unet: the model that learns.
        sharded: whether each process holds a part of each weight only. Then all of them must be there whenever
            the model computes, and call all that is below alike.
    """

    unet: Any
    sharded = False

    def before(self) -> None:
        """What comes before a step and can't be in a CUDA graph."""

    def all_agree(self, yes: bool) -> bool:
        """Whether every process says yes."""
        return yes

    def as_the_first(self, *wishes: bool) -> tuple[bool, ...]:
        """What is to be done now that needs all processes: the first one's clock and user decide."""
        return wishes

    def whole(self, name: str, part: Tensor) -> Tensor:
        """A tensor that goes with the weight of this name, as it is in all processes together.

        Where they have parts of it, the first gets it, on the CPU, and the others an empty one.
        """
        return part

    def part(self, whole: Tensor) -> Tensor:
        """This process's part of what :meth:`whole` gave."""
        return whole

    def whole_unet(self) -> Any:
        """The model to be written into a file, for the first process; the others' may lack its weights."""
        return self.unet
