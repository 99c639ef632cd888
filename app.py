"""DreamGUI in the browser: ``python app.py``; a Hugging Face Space starts it too.

python app.py [--host 127.0.0.1] [--port 7860] [--share] [--login NAME:PASSWORD] [--owner NAME] [--open] [--mcp]
              [--quiet]
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from dreamgui.serving import claim_cache_folder, is_loopback

if TYPE_CHECKING:
    from dreamgui.services import Services
    from dreamgui.serving import Serving

PASSWORD_BYTES = 18
KEPT_DAYS = 7.0
"""Days without a visit after which a visitor's data are deleted on a share link or a Space."""
PRIVATE = 0o077
"""Rights that nobody but this user gets of any file of the server, whatever the shell says."""


@dataclass(frozen=True)
class Options:
    """Options of the server.

    Attributes:
        logins: passwords by name; empty for a page open to everybody.
        owner: login of the one who works in the workspace itself; "" for none.
        behind_proxy: a proxy before the server sets X-Forwarded-Host.
        space: this is a Hugging Face Space.
        oauth: visitors of the Space sign in with their Hugging Face account.
        mcp: the endpoints are tools of an MCP server too.
    """

    host: str
    port: int | None
    share: bool
    logins: dict[str, str]
    owner: str
    behind_proxy: bool
    space: bool
    oauth: bool
    quiet: bool
    mcp: bool = False

    @property
    def local(self) -> bool:
        """True if only this machine's user reaches the page, who may then name files of this machine."""
        return not self.share and not self.space and not self.behind_proxy and is_loopback(self.host)


def options(argv: Sequence[str] | None = None) -> Options:
    """Read options from the command line, defaults from the environment.

    What strangers reach gets a login, unless --open says that it shall have none.
    """
    space = bool(os.environ.get("SPACE_ID"))
    parser = _parser(space)
    given = parser.parse_args(argv)
    logins = _logins(parser, given.login or list(filter(None, [os.environ.get("DREAMGUI_LOGIN", "")])))
    bare = given.host.strip("[]")
    host = f"[{bare}]" if ":" in bare else bare
    oauth = space and not given.open and not logins and has_oauth()
    reached = (given.share, logins, given.owner, given.behind_proxy, space)
    chosen = Options(host, given.port or None, *reached, oauth, given.quiet, given.mcp)
    if given.mcp and not chosen.local:
        parser.error(
            "--mcp is for the page of this machine alone; leave out --share, --behind-proxy and other hosts"
        )
    if given.owner and given.owner not in logins:
        parser.error(f"--owner {given.owner} is no login; add --login {given.owner}:PASSWORD")
    if given.open and logins:
        parser.error("--open and --login contradict each other")
    if given.open and not chosen.local:
        print("WARNING: this page has no login. Whoever knows its address can use this machine.", flush=True)
    elif not chosen.local and not logins and not oauth:
        logins["dream"] = secrets.token_urlsafe(PASSWORD_BYTES)
        print(f"The page asks for a login: name dream, password {logins['dream']}", flush=True)
    return chosen


def has_oauth() -> bool:
    """Return whether the Space has an OAuth application (``hf_oauth: true``) and the libraries for it are there."""
    told = all(os.environ.get(f"OAUTH_{name}") for name in ("CLIENT_ID", "CLIENT_SECRET", "SCOPES"))
    return told and all(map(find_spec, ("authlib", "itsdangerous")))


def _parser(space: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="DreamGUI in the browser")
    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if space else "127.0.0.1")
    parser.add_argument("--host", default=host)
    parser.add_argument("--port", type=int, default=os.environ.get("GRADIO_SERVER_PORT") or None)
    parser.add_argument("--share", action="store_true", help="a public link for 72 hours; asks for a login")
    parser.add_argument("--login", action="append", metavar="NAME:PASSWORD", help="several times for several")
    parser.add_argument(
        "--owner",
        default=os.environ.get("DREAMGUI_OWNER", ""),
        help="login that works in the workspace itself",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        default=os.environ.get("DREAMGUI_OPEN") == "1",
        help="no login, though others than this machine's user reach the page",
    )
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        default=os.environ.get("DREAMGUI_BEHIND_PROXY") == "1",
        help="a proxy of yours passes requests on and sets X-Forwarded-Host",
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="serve the endpoints as tools of an MCP server too, on this machine",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def _logins(parser: argparse.ArgumentParser, texts: Sequence[str]) -> dict[str, str]:
    """Return passwords by name; half a login or a weak password ends the program with a sentence."""
    from dreamgui.visitors import weakness

    found = {}
    for text in texts:
        name, colon, password = text.partition(":")
        if not (name and colon and password):
            parser.error("--login needs a name, a colon and a password, for instance anna:rather-long-s3cret")
        if reason := weakness(name, password):
            parser.error(f"the password of --login {name} is too weak: {reason}")
        found[name] = password
    return found


def prepare_environment(host: str = "127.0.0.1") -> None:
    """Prepare gradio's import: a private folder for its files, none left of killed servers, no telemetry.

    Gradio requests its own page at the start; that request must not go through a proxy.
    """
    past_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [*filter(None, past_proxy.split(",")), "localhost", "127.0.0.1", "::1", host]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(names))
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Gradio would serve what it names, to everybody, or offer other ways in.
    for name in ("GRADIO_ALLOWED_PATHS", "GRADIO_MCP_SERVER", "GRADIO_ROOT_PATH"):
        os.environ.pop(name, None)
    claim_cache_folder()


def main(argv: Sequence[str] | None = None) -> int:
    """Start the server and stay until Ctrl-C.

    Returns:
        0 at its end, 2 when it can't start; the reason is printed.
    """
    chosen = options(argv)
    os.umask(os.umask(PRIVATE) | PRIVATE)
    prepare_environment(chosen.host)
    from dreamgui.errors import DreamError
    from dreamgui.serving import AlreadyServed

    try:
        serve(chosen)
    except AlreadyServed as served:
        print(served, flush=True)
        if served.url and chosen.local:
            webbrowser.open(served.url)
        return 0
    except DreamError as error:
        print(f"dreamgui: {error}", file=sys.stderr)
        return 2
    return 0


def guards(chosen: Options, services: Services, share_url: Callable[[], str | None]) -> list[Any]:
    """Return the checks that each request passes, by the way of use."""
    from dreamgui.services import VISITORS, VisitorServices
    from dreamgui.ui.build import BEHIND_THE_GUARD
    from dreamgui.ui.guard.origin import ANY_HOST, HUGGING_FACE, LOCAL_HOSTS, middleware
    from dreamgui.ui.guard.tarpit import FIRST
    from dreamgui.ui.guard.uploading import refusal_of
    from dreamgui.ui.guard.visits import Terms, visits
    from dreamgui.visitors import Cookies, signing_key

    if not isinstance(services, VisitorServices):
        return [FIRST, *middleware((*LOCAL_HOSTS, chosen.host.strip("[]"))), *BEHIND_THE_GUARD]
    framed = HUGGING_FACE if chosen.space else ()
    checks = middleware(
        (ANY_HOST,), chosen.behind_proxy, framed, lambda: [urlsplit(share_url() or "").netloc]
    )
    cookies = Cookies(signing_key(services.root.root / VISITORS))
    terms = Terms(cookies, chosen.owner, chosen.space, chosen.oauth, refusal_of(services))
    return [FIRST, *checks, visits(terms), *BEHIND_THE_GUARD]


def serve(chosen: Options) -> None:
    """Build the page and serve it until Ctrl-C, alone on its workspace.

    Raises:
        DreamError: another program does, or the address or the workspace can't be used.
    """
    from dreamgui.models.sources.login import keep_to_owner
    from dreamgui.services import VisitorServices, build
    from dreamgui.services.keeping import keeper_of
    from dreamgui.serving import served_alone
    from dreamgui.workspace import Workspace

    if not chosen.local:
        keep_to_owner()
    with served_alone(Workspace().root) as serving:
        kept_days = KEPT_DAYS if chosen.share or chosen.space else 0
        keeper = keeper_of(Workspace().root)
        services = build(strangers=not chosen.local, kept_days=kept_days, accounts_only=chosen.oauth)
        if isinstance(services, VisitorServices):
            services.keeper = keeper
            services.look_after_for_ever()
        if keeper:
            keeper.watch()
        _serve(chosen, services, serving)


def _serve(chosen: Options, services: Services, serving: Serving) -> None:
    from dreamgui.errors import BadInput
    from dreamgui.models.zero_gpu import announce
    from dreamgui.ui.build import create_ui
    from dreamgui.ui.guard.connections import MOST_OF_A_CLIENT, limit
    from dreamgui.ui.guard.login import Logins
    from dreamgui.ui.parts.session import Device
    from dreamgui.ui.parts.watch import PLACES
    from dreamgui.ui.theme import head, theme

    if chosen.mcp and find_spec("mcp") is None:
        raise BadInput("--mcp needs a package that isn't there.", "Install it: pip install 'gradio[mcp]'.")
    announce()
    device = Device(services)
    blocks = create_ui(services, device)
    try:
        blocks.launch(
            server_name=chosen.host,
            server_port=chosen.port,
            share=chosen.share,
            # gradio awaits it, though its annotation says otherwise.
            auth=cast(Any, Logins(chosen.logins).check) if chosen.logins else None,
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
            max_file_size="8gb" if chosen.local else "2gb",
            app_kwargs={"middleware": guards(chosen, services, lambda: getattr(blocks, "share_url", None))},
            mcp_server=chosen.mcp,
            # The browser offers to install the page as a window of its own; strangers get a plain page.
            pwa=chosen.local,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise BadInput(
            f"The server can't start at {chosen.host}:{chosen.port or 'any port'}: {error}",
            "Another program may use the port: choose another with --port, or leave it out.",
        ) from error
    # On this machine and by a proxy (a link's, a Space's, yours) all come from one address.
    by_address = not (chosen.local or chosen.share or chosen.space or chosen.behind_proxy)
    limit(blocks.server, *([MOST_OF_A_CLIENT] if by_address else []))
    serving.tell(blocks.local_url or "")
    device.load_in_background()
    blocks.block_thread()


if __name__ == "__main__":
    sys.exit(main())
