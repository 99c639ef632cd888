"""DreamGUI: Stable Diffusion 1.5 trained on one person's photographs, in one browser page."""

from dreamgui.bootstrap import prepare_process

__version__ = "0.1.0"

prepare_process()
