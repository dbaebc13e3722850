"""The report over HTTP, live: the page made anew when its store has changed and somebody looks. Nothing can be written through it."""

import hmac
import threading
import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from laimbench import __version__
from laimbench.errors import LaimbenchError
from laimbench.network import is_loopback

COOKIE = "laimbench_token"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class LivePage:
    """The newest page, made at most once in ``every`` seconds: making it takes a core from the runs that it shows.

    Args:
        version: returns a text that differs whenever the store's content does; cheap.
        render: returns the page of a version as HTML.
        every: seconds.
    """

    def __init__(
        self, version: Callable[[], str], render: Callable[[str], str], every: float,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self._newest, self._render, self._every, self._clock = version, render, every, clock
        self._lock = threading.Lock()
        self._version, self._page, self._made = "", "", -float("inf")

    def version(self) -> str:
        """Return the version of the page that would be served now."""
        return self._newest() if self._clock() - self._made >= self._every else self._version

    def page(self) -> str:
        """Return the page, made anew where that is due."""
        with self._lock:
            wanted = self.version()
            if wanted != self._version:
                self._page = self._render(wanted)
                self._version, self._made = wanted, self._clock()
            return self._page


def create_app(live: LivePage, token: str = "") -> FastAPI:
    """Return the application: GET / (the page) and GET /version (JSON), nothing else.

    ``token``: what ``Authorization: Bearer``, the cookie that ``/?token=`` sets, has to hold; without one only requests that name
    this machine as their host are answered, so that no site a browser visits can read the page under a name of its own.
    """
    app = FastAPI(title="laimbench dashboard", version=__version__, openapi_url=None)  # its pages would load scripts

    @app.middleware("http")
    async def guarded(request: Request, call_next: Any) -> Response:
        response = refusal(request, token) or await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(LaimbenchError)
    async def unreadable(request: Request, error: LaimbenchError) -> Response:
        return PlainTextResponse(f"error: {error}\n", 503)

    @app.get("/")
    def page() -> Response:
        return HTMLResponse(live.page())

    @app.get("/version")
    def version() -> Response:
        return JSONResponse({"version": live.version()})

    return app


def refusal(request: Request, token: str) -> Response | None:
    """Return the response of a request that may not go on, None for one that may."""
    if not token:
        if is_loopback(request.url.hostname or ""):
            return None
        return PlainTextResponse("error: expected this machine as the host, 127.0.0.1 or localhost\n", 421)
    offered = request.query_params.get("token")
    if offered is not None and same(offered, token):
        response = RedirectResponse(request.url.path, 303)  # out of the address bar and the history
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return response
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    if same(bearer, token) or same(request.cookies.get(COOKIE, ""), token):
        return None
    message = "error: expected the dashboard's token: /?token=TOKEN, or Authorization: Bearer TOKEN\n"
    return PlainTextResponse(message, 401, {"WWW-Authenticate": "Bearer"})


def same(offered: str, token: str) -> bool:
    return hmac.compare_digest(offered.encode(errors="surrogateescape"), token.encode())
