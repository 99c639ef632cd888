"""Checks of every request before gradio sees it, and of every listener: whose page, whose session, whose file."""
