"""DreamGUI: Stable Diffusion 1.5 learns one person from fifteen photographs, in one browser page."""

import os

__version__ = "0.1.0"

# OpenMP reads this once, before torch is imported: threads that spin while they wait take a loaded machine's cores
# from the page and from each other.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
