"""The page: everything that gradio shows."""
