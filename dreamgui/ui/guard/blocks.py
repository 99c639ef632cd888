"""The page for strangers: each listener runs as its visitor, on files that are the visitor's."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from dreamgui.errors import BadInput, without_paths
from dreamgui.ui.guard.sessions import PageBlocks
from dreamgui.ui.parts.toasts import failure
from dreamgui.ui.parts.uploads import FILES
from dreamgui.visitors import NOBODY, visiting

SCOPE_KEY = "dreamgui.visitor"
_log = logging.getLogger(__name__)


class VisitorBlocks(PageBlocks):
    """Blocks whose listeners and endpoints, hidden ones among them, run for the visitor of their request.

    Gradio calls :meth:`process_api` for each of them, by whichever route it was asked.
    """

    async def process_api(
        self,
        block_fn: Any,
        inputs: list[Any],
        state: Any = None,
        request: Any = None,
        *others: Any,
        **options: Any,
    ) -> dict[str, Any]:
        """Run a listener.

        Raises:
            gr.Error: nobody asks, or a file is named that isn't the visitor's.
        """
        visitor = visitor_of(request)
        if visitor == NOBODY:
            raise failure("Session not recognised. Reload the page.")
        try:
            FILES.check(visitor, inputs)
        except BadInput as error:
            raise failure(str(error)) from error
        with visiting(visitor):
            try:
                answer = await super().process_api(block_fn, inputs, state, request, *others, **options)
            except gr.Error as error:
                # Another's mistake may name a folder of this machine.
                error.message = without_paths(error.message)
                # Gradio would print it, with the values that the visitor sent.
                error.print_exception = False
                raise
            except Exception as error:  # noqa: BLE001 (Gradio would print whatever it is.)
                _log.warning("a listener ended with %s", type(error).__name__)
                raise failure(
                    "The request failed with these values. Reload the page and try again."
                ) from None
        FILES.grant(visitor, answer.get("data"))
        return answer


def visitor_of(request: Any) -> str:
    """Return the visitor of a request, as the guard has found it, or ``NOBODY`` where no guard did."""
    asked = request[0] if isinstance(request, list) and request else request
    scope = getattr(getattr(asked, "request", None), "scope", {})
    return scope.get(SCOPE_KEY, NOBODY)
