"""Measures of generated pictures, each with its formula, range, direction and source in docs/metrics.md."""

SCENE_JUDGE = "scene judge of the bundled model (16 drawn places)"
"""Name of the network of ``scene.py``; readable without torch."""
ANY_CLIP = "the CLIP of the settings, named in the report"
