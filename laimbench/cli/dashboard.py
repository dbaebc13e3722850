"""``laimbench dashboard``: the report of a store, live in a browser while runs come in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from laimbench.cli.output import console_for
from laimbench.cli.report import render_store
from laimbench.cli.serve import CONNECTIONS, GRACE_S, is_loopback, listening
from laimbench.errors import InputError


def dashboard(
    store: Annotated[Path, typer.Argument(help="The store; it is read and never written.")] = Path("runs.sqlite"),
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own need --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8050,
    token: Annotated[
        str, typer.Option(envvar="LAIMBENCH_TOKEN", help="What browsers are let in by: http://HOST:PORT/?token=TOKEN")
    ] = "",
    every: Annotated[
        float,
        typer.Option(min=1, help="Seconds at least between two makings of the page; each takes a core for seconds."),
    ] = 30.0,
) -> None:
    """Serve the report of a store, read-only, and bring it up to date as runs come in, until interrupted."""
    if not token and not is_loopback(host):
        raise InputError(f"--host {host} is reachable from other machines, expected a --token with it")
    try:
        import uvicorn

        from laimbench.report.dashboard import LivePage, create_app
    except ModuleNotFoundError as error:
        raise InputError(f"the dashboard needs the package {error.name}: pip install 'laimbench[serve]'") from None
    from laimbench.store import Store

    with Store(store, must_exist=True, read_only=True) as opened, listening(host, port) as listener:
        live = LivePage(opened.version, lambda version: render_store(opened, live=version)[1], every)
        shown = f"[{host}]" if ":" in host else host
        query = "/?token=TOKEN" if token else "/"
        message = f"{store} on http://{shown}:{listener.getsockname()[1]}{query}"
        console_for(None).print(escape(message), soft_wrap=True)
        config = uvicorn.Config(
            create_app(live, token), log_level="warning", access_log=False, limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
        )  # fmt: skip
        try:
            uvicorn.Server(config).run([listener])
        except KeyboardInterrupt:  # how a server is meant to end
            return
