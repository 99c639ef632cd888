"""Share of a change that each rank captures: figures, JSON and a plot beside the LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dreamgui.evaluate.document.charts import curve_chart
from dreamgui.workspace import write_atomic, write_json

_RANKS = (1, 2, 4, 8, 16, 32, 64, 128)


def energy_scores(captured: Sequence[float]) -> dict[str, float | None]:
    """The captured share at the usual ranks."""
    return {
        f"captured at rank {rank}": round(captured[rank - 1], 4) for rank in _RANKS if rank <= len(captured)
    }


def write_energy(folder: Path, captured: Sequence[float], reachable: float = 1.0) -> None:
    """Write ``energy.json`` and ``energy.svg`` into a run's folder.

    Args:
        captured: share that ranks 1, 2, 3... capture of the adapted layers' squared change, 0 to 1.
        reachable: share of the whole squared change that lies in the adapted layers.
    """
    write_json(folder / "energy.json", {"captured_by_rank": list(captured), "in_adapted_layers": reachable})
    curve = [(0.0, 0.0), *((float(rank), share) for rank, share in enumerate(captured, start=1))]
    plot = curve_chart({"captured share of the change": curve}, "rank")
    write_atomic(folder / "energy.svg", plot.encode())
