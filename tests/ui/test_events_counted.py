"""Gradio computes nothing over the events of a page, which would cost more with each of them."""

from __future__ import annotations

import pytest
from gradio_client import Client

from tests.ui.conftest import Page


def test_no_summary_of_events_is_computed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[object] = []
    monkeypatch.setattr("gradio.queueing.Queue._get_df", lambda records: computed.append(records))
    app = Client(page.url, verbose=False)
    for _ in range(3):
        app.predict(api_name="/status")
    queue = page.app.get_blocks()._queue
    assert queue.events_recorded >= 3 and len(queue.event_analytics) == 1 and not computed
