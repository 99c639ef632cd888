"""Sessions of the page begin bare, and each still has its own state and changed components."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import BlocksConfig
from starlette.testclient import TestClient

from dreamgui.ui.guard.sessions import PageBlocks


def page() -> PageBlocks:
    """A page that counts its visits and puts the count into the label of a field."""
    with PageBlocks() as blocks:
        count, field, button = gr.State(0), gr.Textbox(label="none"), gr.Button("Count")

        def counted(before: int) -> tuple[int, Any]:
            return before + 1, gr.update(label=f"{before + 1}", value="seen")

        button.click(counted, count, [count, field], api_name="count")
    return blocks


def pressed(client: TestClient, session: str) -> dict[str, Any]:
    answer = client.post("/gradio_api/run/count", json={"data": [None], "session_hash": session})
    assert answer.status_code == 200
    return answer.json()["data"][1]


def test_a_new_session_describes_nothing_and_a_changed_component_is_described(monkeypatch: Any) -> None:
    blocks = page()
    client = TestClient(gr.routes.App.create_app(blocks))
    described: list[int] = []
    original = BlocksConfig.config_for_block

    def counting(_id: int, *given: Any) -> dict[str, Any]:
        described.append(_id)
        return original(_id, *given)

    monkeypatch.setattr(BlocksConfig, "config_for_block", staticmethod(counting))
    session = blocks.state_holder["first"]
    assert described == [] and not session.config_values
    assert pressed(client, "first")["label"] == "1"
    assert pressed(client, "first")["label"] == "2"
    assert pressed(client, "second")["label"] == "1"
    [field] = [block for block in blocks.blocks.values() if isinstance(block, gr.Textbox)]
    assert blocks.state_holder["first"].config_values[field._id]["props"]["label"] == "2"
    assert blocks.state_holder["second"].config_values[field._id]["props"]["label"] == "1"
