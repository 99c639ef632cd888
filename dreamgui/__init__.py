"""DreamGUI: Stable Diffusion 1.5 learns one person from fifteen photographs, in one browser page."""

import os

__version__ = "0.1.0"

# OpenMP reads these once, before torch is imported. Threads that spin for milliseconds while they wait take a loaded
# machine's cores from the page and from each other; threads that sleep at once are woken some thousand times a training
# step, which nearly doubled its time on two cores (416 ms against 229). So they spin for microseconds.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
