"""DreamGUI in the browser: ``python app.py``, and what a Hugging Face Space starts.

python app.py [--host 127.0.0.1] [--port 7860] [--share] [--login NAME:PASSWORD] [--quiet]
"""

from __future__ import annotations

import argparse
import atexit
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PASSWORD_BYTES = 18


@dataclass(frozen=True)
class Options:
    """How the server is started. ``login`` is (name, password), or None where everybody may enter."""

    host: str
    port: int | None
    share: bool
    login: tuple[str, str] | None
    quiet: bool

    @property
    def local(self) -> bool:
        """Only this machine's user reaches the page, so files of this machine may be named."""
        return not self.share and self.host in ("127.0.0.1", "localhost", "::1")


def options(argv: Sequence[str] | None = None) -> Options:
    """Options from the command line, defaults from the environment; a shared link always gets a login."""
    space = bool(os.environ.get("SPACE_ID"))
    parser = argparse.ArgumentParser(description="DreamGUI in the browser")
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if space else "127.0.0.1")
    parser.add_argument("--host", default=host)
    parser.add_argument("--port", type=int, default=int(os.environ.get("GRADIO_SERVER_PORT") or 0) or None)
    parser.add_argument("--share", action="store_true", help="a public link for 72 hours; asks for a login")
    parser.add_argument("--login", default=os.environ.get("DREAMGUI_LOGIN", ""), metavar="NAME:PASSWORD")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    given = parser.parse_args(argv)
    login = None
    if given.login:
        name, colon, password = given.login.partition(":")
        if not (name and colon and password):
            parser.error("--login needs a name, a colon and a password, for instance anna:s3cret")
        login = (name, password)
    elif given.share:
        login = ("dream", secrets.token_urlsafe(PASSWORD_BYTES))
        print(f"The shared link asks for a login: name {login[0]}, password {login[1]}", flush=True)
    return Options(given.host, given.port, given.share, login, given.quiet)


def prepare_environment() -> None:
    """Before gradio's import: a private folder for its files, none left of killed servers, no telemetry."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if "GRADIO_TEMP_DIR" not in os.environ:
        sweep_cache_folders()
        folder = tempfile.mkdtemp(prefix=f"dreamgui-{os.getpid()}-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["GRADIO_TEMP_DIR"] = folder


def sweep_cache_folders() -> None:
    """Remove the private folders of servers that no longer live: they hold photographs."""
    for folder in Path(tempfile.gettempdir()).glob("dreamgui-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and folder.owner() == Path.home().owner() and not _lives(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Start the server and stay until Ctrl-C."""
    chosen = options(argv)
    prepare_environment()
    from dreamgui.services import build
    from dreamgui.ui.build import create_ui
    from dreamgui.ui.guard import middleware
    from dreamgui.ui.session import Device
    from dreamgui.ui.theme import head, theme
    from dreamgui.ui.watch import PLACES

    services = build()
    device = Device(services)
    blocks = create_ui(services, device, local=chosen.local)
    blocks.launch(
        server_name=chosen.host,
        server_port=chosen.port,
        share=chosen.share,
        auth=chosen.login,
        theme=theme(),
        head=head(),
        quiet=chosen.quiet,
        footer_links=["api", "settings"],
        allowed_paths=[],
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        state_session_capacity=200,
        max_threads=PLACES,
        max_file_size="8gb",
        app_kwargs={"middleware": middleware()} if chosen.local else None,
        prevent_thread_lock=True,
    )
    device.load_in_background()
    blocks.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
