"""DreamGUI: Stable Diffusion 1.5 learns one person from fifteen photographs, in one browser page."""

import functools
import gc
import importlib.metadata
import os

__version__ = "0.1.0"

# OpenMP reads these once, before torch is imported. Threads that spin without end while they wait take a loaded
# machine's cores from the page and from each other; threads that sleep at once are woken some thousand times a training
# step: on two cores 416 ms a step against 229 for microseconds of spinning, and on another machine, whose threads take
# longer to wake, twice as long for microseconds as for a millisecond. Beside another busy program long spinning is
# what costs: 1.5 s a step at 20000, 1.1 at 8000, 0.8 at 1000; alone 0.40, 0.37 and 0.48. Hence the middle.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "8000")

# The libraries' half a million objects stay; by Python's own thresholds they are looked through for garbage so often
# that a tenth of the time of importing them goes there.
gc.set_threshold(50_000, 20, 50)

# diffusers and transformers each look through all that is installed when they are imported, 0.35 s a time.
_all_installed = functools.cache(importlib.metadata.packages_distributions)
setattr(importlib.metadata, "packages_distributions", _all_installed)  # noqa: B010
