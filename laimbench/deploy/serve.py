"""An HTTP server for a GPT checkpoint that speaks OpenAI's completions, with limits on everything a client can ask for."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from laimbench import __version__
from laimbench.deploy.protocol import Answer, ApiError, CompletionRequest, choice, event, parse_request, usage
from laimbench.deploy.text import Generator, Piece, Prompt
from laimbench.deploy.workers import Workers
from laimbench.models.decoding import Sampling

CLIENT_CLOSED = 499  # nobody reads it


@dataclass(frozen=True)
class Limits:
    """What one client, or all together, may ask for. Tokens are bounded by the model's context.

    body_bytes, prompt_characters: of a request, of each of its prompts. completions: prompts times n. concurrent: requests
    that are generated at the same time; more are refused with 429. seconds: for reading a body, and for generating.
    """

    body_bytes: int = 1 << 20
    prompt_characters: int = 100_000
    completions: int = 16
    concurrent: int = 4
    seconds: float = 120.0


def create_app(generator: Generator, name: str, limits: Limits | None = None, token: str = "") -> FastAPI:
    """Return the application: POST /v1/completions, GET /v1/models, GET /health.

    ``token``: what ``Authorization: Bearer`` has to hold on /v1; "" for none.
    """
    limits = limits or Limits()
    workers = Workers(limits.concurrent)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    # No pages of documentation: they load scripts from elsewhere.
    app = FastAPI(title="laimbench", version=__version__, openapi_url=None, lifespan=lifespan)

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse(ApiError(error.status_code, message).body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return JSONResponse(ApiError(500, "the server failed", kind="server_error").body, 500)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": name, "running": workers.running}

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        check_token(request, token)
        model = {"id": name, "object": "model", "created": 0, "owned_by": "laimbench"}
        return {"object": "list", "data": [{**model, "max_model_len": generator.context}]}

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        check_token(request, token)
        asked = parse_request(await read_body(request, limits))
        if asked.model not in ("", name):
            raise ApiError(404, f"no model {asked.model!r}, expected {name!r}", param="model", code="model_not_found")
        check_size(asked, generator, limits)
        if workers.full:
            raise ApiError(
                429, f"{limits.concurrent} requests are running, try again", code="rate_limit_exceeded",
                kind="requests", headers={"Retry-After": "1"},
            )  # fmt: skip
        steps = with_api_errors(workers.run(work(generator, asked), limits.seconds), limits)
        prompts = await anext(steps)  # before the status is sent: what is wrong with them is an error of its own
        answer = Answer(name)
        if asked.stream:
            events = stream_events(steps, prompts, asked, answer)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        return await whole(steps, prompts, asked, request, answer)

    return app


def check_token(request: Request, token: str) -> None:
    """Raise ApiError 401 unless the request has the token."""
    given = request.headers.get("authorization", "").encode("latin-1")  # the bytes as they were sent
    if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
        raise ApiError(
            401, "expected the server's token: Authorization: Bearer TOKEN", code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a JSON request, and no more of it than the limit.

    Another content type is refused: a page of any site may make a browser send text to this machine, but not JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "expected Content-Type: application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                body += part
                if len(body) > limits.body_bytes:
                    raise ApiError(413, f"the body has more than {limits.body_bytes} bytes")
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {limits.seconds:g} s") from None
    return bytes(body)


def check_size(asked: CompletionRequest, generator: Generator, limits: Limits) -> None:
    """Raise ApiError 400 for more than the limits allow; tokens of texts are counted later."""
    count = len(asked.prompts) * asked.n
    if count > limits.completions:
        raise ApiError(400, f"{count} completions (prompts times n), expected at most {limits.completions}", param="n")
    if asked.max_tokens > generator.context:
        message = f"max_tokens is {asked.max_tokens}, expected at most the context of {generator.context}"
        raise ApiError(400, message, param="max_tokens")
    longest = max(map(len, asked.prompts))
    if longest > limits.prompt_characters:
        message = f"a prompt of {longest} characters, expected at most {limits.prompt_characters}"
        raise ApiError(400, message, param="prompt")


def work(generator: Generator, asked: CompletionRequest) -> Iterator[list[Prompt] | list[Piece]]:
    """Yield the prompts, each ``n`` times, and then the pieces of each step. A prompt is never cut: a client would not see it."""
    prompts = []
    for given in asked.prompts:
        tokens = tuple(generator.encode(given) if isinstance(given, str) else given) or (generator.end,)
        if len(tokens) + asked.max_tokens > generator.context:
            raise ApiError(
                400, f"a prompt of {len(tokens)} tokens and max_tokens {asked.max_tokens}, expected at most "
                f"{generator.context} together", param="prompt", code="context_length_exceeded",
            )  # fmt: skip
        if not all(0 <= token < generator.model.config.vocab_size for token in tokens):
            message = f"token ids outside 0 to {generator.model.config.vocab_size - 1}"
            raise ApiError(400, message, param="prompt")
        prompts += [Prompt(tokens)] * asked.n
    yield prompts
    seed = secrets.randbelow(1 << 31) if asked.seed is None else asked.seed
    sampling = Sampling(asked.temperature, asked.top_k, asked.top_p, asked.min_p, seed)
    yield from generator.stream(prompts, asked.max_tokens, sampling, asked.stops)


async def with_api_errors(steps: AsyncIterator, limits: Limits) -> AsyncIterator:
    """Yield the steps; whatever ends them early is logged and becomes an ApiError, so that the connection lives on."""
    async with aclosing(steps):
        try:
            async for step in steps:
                yield step
        except ApiError:
            raise
        except TimeoutError:
            raise ApiError(504, f"not finished within {limits.seconds:g} s", kind="timeout", code="timeout") from None
        except Exception:
            logging.getLogger(__name__).exception("a completion failed")
            raise ApiError(500, "the server failed", kind="server_error") from None


async def stream_events(
    steps: AsyncIterator, prompts: list[Prompt], asked: CompletionRequest, answer: Answer
) -> AsyncIterator[str]:
    """Yield server-sent events; closed early (the client has gone), it stops the generation."""
    said = [0] * len(prompts)
    async with aclosing(steps):
        try:
            async for step in steps:
                for piece in step:
                    said[piece.row] = piece.tokens
                    if piece.text or piece.finish_reason:
                        yield event(answer.body([choice(piece.row, piece.text, piece.finish_reason)]))
        except ApiError as error:  # the status is sent: the error can only be an event
            yield event(error.body)
        else:
            if asked.stream_options.include_usage:
                yield event(answer.body([], counts(prompts, said, asked.n)))
        yield "data: [DONE]\n\n"


async def whole(
    steps: AsyncIterator, prompts: list[Prompt], asked: CompletionRequest, request: Request, answer: Answer
) -> Response:
    """Return the completion when it is finished; a client that goes away stops it."""
    rows: list[list[Piece]] = [[] for _ in prompts]
    async with aclosing(steps):
        async for step in steps:
            for piece in step:
                rows[piece.row].append(piece)
            if await request.is_disconnected():
                return Response(status_code=CLIENT_CLOSED)
    choices = [choice(i, "".join(p.text for p in row), row[-1].finish_reason) for i, row in enumerate(rows)]
    return JSONResponse(answer.body(choices, counts(prompts, [row[-1].tokens for row in rows], asked.n)))


def counts(prompts: list[Prompt], said: list[int], n: int) -> dict[str, int]:
    """Return the usage; a prompt counts once, however many completions it has."""
    return usage(sum(len(prompt.tokens) for prompt in prompts[::n]), sum(said))
