"""DreamGUI: Stable Diffusion 1.5 learns one person from fifteen photographs, in one browser page."""

__version__ = "0.1.0"
