"""``laimbench dashboard``: the report of a store, live in a browser while runs come in."""

from typing import Annotated

import typer
from rich.markup import escape

from laimbench.cli.output import console_for
from laimbench.cli.report import render_store
from laimbench.cli.serve import require_token, run, url
from laimbench.cli.stores import store_argument
from laimbench.errors import InputError
from laimbench.network import listening
from laimbench.store_address import RUNS, StoreAddress


def dashboard(
    store: Annotated[StoreAddress, store_argument("The store, which is read and never written")] = RUNS,
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
    require_token(host, token)
    try:
        import uvicorn  # noqa: F401 - missing, it is said before anything is opened

        from laimbench.report.dashboard import LivePage, create_app
    except ModuleNotFoundError as error:
        raise InputError(f"the dashboard needs the package {error.name}: pip install 'laimbench[serve]'") from None
    from laimbench.store import Store

    with Store(store, must_exist=True, read_only=True) as opened, listening(host, port) as listener:
        live = LivePage(opened.version, lambda version: render_store(opened, live=version)[1], every)
        query = "/?token=TOKEN" if token else "/"
        console_for(None).print(escape(f"{store} on {url(host, listener)}{query}"), soft_wrap=True)
        run(create_app(live, token), listener)
