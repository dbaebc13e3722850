"""``laimbench serve``: a trained gpt behind OpenAI's completions API."""

import socket
from typing import Annotated, Any

import typer
from rich.markup import escape

from laimbench.cli.output import console_for
from laimbench.cli.using import CheckpointArgument, opened
from laimbench.errors import InputError
from laimbench.network import is_loopback, listening

CONNECTIONS = 100  # open at once; uvicorn answers 503 beyond
GRACE_S = 5  # for answers under way when the server is stopped


def serve(
    checkpoint: CheckpointArgument,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own need --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str, typer.Option(envvar="LAIMBENCH_TOKEN", help="What clients send as Authorization: Bearer TOKEN.")
    ] = "",
    concurrent: Annotated[int, typer.Option(min=1, help="Requests generated at once; more are told to wait.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="Limit of a request.")] = 120.0,
) -> None:
    """Serve POST /v1/completions, GET /v1/models and GET /health until interrupted."""
    require_token(host, token)
    try:
        import uvicorn  # noqa: F401 - missing, it is said before a model is loaded

        from laimbench.deploy.serve import Limits, create_app
    except ModuleNotFoundError as error:
        raise InputError(f"the server needs the package {error.name}: pip install 'laimbench[serve]'") from None
    import torch

    from laimbench.deploy import Generator

    generator = opened(checkpoint, Generator)
    torch.set_num_threads(generator.threads)
    name = checkpoint.resolve().name
    app = create_app(generator, name, Limits(concurrent=concurrent, seconds=seconds), token)
    with listening(host, port) as listener:
        console_for(None).print(escape(f"{name} on {url(host, listener)}/v1/completions"), soft_wrap=True)
        run(app, listener)


def require_token(host: str, token: str) -> None:
    """Raise InputError for an address that others reach without a token that keeps them out."""
    if not token and not is_loopback(host):
        raise InputError(f"--host {host} is reachable from other machines, expected a --token with it")


def url(host: str, listener: socket.socket) -> str:
    """Return where a socket listens, without a path."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def run(app: Any, listener: socket.socket) -> None:
    """Serve an application until interrupted."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=GRACE_S
    )
    try:
        uvicorn.Server(config).run([listener])
    except KeyboardInterrupt:  # how a server is meant to end
        return
