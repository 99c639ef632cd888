"""Question of a page for strangers before the first upload, and "Delete my data"."""

from __future__ import annotations

import os
from html import escape
from typing import Any

import gradio as gr
from gradio.events import api

from dreamgui.quotas import DAY_SECONDS
from dreamgui.services import VisitorServices
from dreamgui.sizes import file_size
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.uploads import FILES
from dreamgui.ui.tabs.kept import FORGET
from dreamgui.visitors import current, has_account

STILL_ENDING = "One of your jobs is still stopping. Everything is deleted once it has ended."


def create_your_data(services: VisitorServices, blocks: gr.Blocks) -> None:
    """Create the question before the first upload, and the visitor's data with their deletion."""
    services.forgets = FILES.forget
    with gr.Row(elem_classes="dg-buttons"):
        if services.accounts_only:
            gr.LoginButton(elem_id="sign-in", size="sm", scale=0)
        if os.environ.get("SPACE_ID"):
            gr.DuplicateButton(elem_id="duplicate", scale=0)
    with gr.Group(visible=False, elem_id="consent") as consent:
        gr.HTML(about_photographs(services))
        yes = gr.Button("I have the right to use them", variant="primary", elem_id="consent-yes")
    with gr.Accordion("Your data", open=False, elem_id="your-data"):
        used = gr.HTML(elem_id="your-data-used")
        delete = gr.Button("Delete my data", size="sm", elem_id="delete-data")
        with gr.Group(visible=False) as sure:
            gr.HTML(
                "<p>This deletes all of your photographs, datasets, models and pictures. Nothing can be restored.</p>"
            )
            with gr.Row():
                really = gr.Button("Delete everything", variant="stop", elem_id="delete-data-really")
                keep = gr.Button("Keep everything", elem_id="delete-data-keep")

    def agree() -> Any:
        as_ui_error(services.agree)
        return gr.update(visible=False)

    def shown() -> tuple[Any, str]:
        return gr.update(visible=not services.may_upload(current())), usage(services)

    def delete_all() -> None:
        if not as_ui_error(services.delete_everything):
            inform(STILL_ENDING)

    blocks.load(shown, None, [consent, used], **QUIET)
    yes.click(agree, None, consent, **QUIET)
    delete.click(lambda: gr.update(visible=True), None, sure, **QUIET)
    keep.click(lambda: gr.update(visible=False), None, sure, **QUIET)
    really.click(delete_all, None, None, **QUIET).success(None, None, None, js=FORGET)


def add_your_data_endpoints(services: VisitorServices) -> None:
    """Register "agree" and "delete_my_data" for programs."""

    def agree() -> dict[str, Any]:
        """Say that you have the right to use the photographs that you will upload."""
        as_ui_error(services.agree)
        return {"agreed": True}

    def delete_my_data() -> dict[str, Any]:
        """Stop your jobs and delete all of your photographs, datasets, models, pictures and uploads."""
        return {"deleted": as_ui_error(services.delete_everything)}

    api(agree, api_name="agree", concurrency_limit=None)
    api(delete_my_data, api_name="delete_my_data", concurrency_limit=None)


def about_photographs(services: VisitorServices) -> str:
    """Return what happens to photographs, as HTML."""
    return (
        "<h3>Before your first upload</h3>"
        "<p>Your photographs are stored on this server, without GPS and camera data, in a "
        "workspace of your own. They are used for your datasets, trainings and pictures, and for nothing else. Other "
        f"visitors can't see them; whoever runs this server can. {escape(expiry(services))}</p>"
        "<p>Upload photographs only if they are yours to use and the person on them agrees.</p>"
    )


def expiry(services: VisitorServices) -> str:
    """Return when data are deleted."""
    days = services.limits.kept_seconds / DAY_SECONDS
    after = (
        f"They are deleted after {days:g} days without a visit" if days else "They stay until you delete them"
    )
    return f'{after}. Press "Delete my data" to delete them now.'


def lasting(services: VisitorServices) -> str:
    """Return what of the asking visitor's work outlasts a restart of the server, or "" where all of it does."""
    if services.keeper and has_account(current()):
        return (
            "Finished datasets, models, runs, reports and pictures outlast a restart; originals of photographs and "
            "checkpoints don't."
        )
    if services.keeper or os.environ.get("SPACE_ID"):
        return (
            "A restart of this Space deletes your work: download what you want to keep (Library), or push it to your "
            "own account (Train, Push)."
        )
    return ""


def usage(services: VisitorServices) -> str:
    """Return what the asking visitor has used of disk and uploads, as HTML."""
    visitor, limits = current(), services.limits
    full = services.quotas.is_nearly_full(visitor)
    sent = f"Unused uploads: {file_size(FILES.sent_bytes(visitor))} of {file_size(limits.upload_bytes)}."
    rules = (
        f"{limits.jobs} jobs at a time; a job ends after {limits.turn_seconds / 60:.0f} minutes on the device once "
        "another visitor waits."
    )
    advice = " <b>Nearly full: delete what you no longer need.</b>" if full else ""
    disk = escape(services.quotas.sentence(visitor))
    return f"<p>{disk}{advice} {escape(sent)} {escape(rules)} {escape(expiry(services))} {escape(lasting(services))}</p>"
