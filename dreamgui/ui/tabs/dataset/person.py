"""The person, asked for once: token and class, of which the browser makes the instance prompt."""

from __future__ import annotations

import gradio as gr

from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.session import PRESSED_AGAIN, QUIET

CLASSES = ("woman", "man", "person")
TOKEN = "sks"
_PROMPT = """(token, person) => ["a photo of", token ?? "", person ?? "", "face"]
  .map(words => words.trim()).filter(Boolean).join(" ")"""


def place_person(form: Form) -> None:
    """Place both fields above the instance prompt, which follows them as they are typed and may be typed over."""
    with gr.Row():
        person = gr.Dropdown(
            CLASSES,
            value=CLASSES[0],
            label="Person",
            info="Or a word of your own.",
            allow_custom_value=True,
            elem_id="dataset-person",
            min_width=150,
        )
        token = gr.Textbox(
            TOKEN,
            label="Token or name",
            info="A rare word that stands for the person.",
            max_length=80,
            elem_id="dataset-token",
            min_width=150,
        )
    prompt = form.show("instance_prompt")
    changed = [person.change, token.change]
    gr.on(changed, None, [token, person], prompt, js=_PROMPT, **PRESSED_AGAIN, **QUIET)
