"""A real Chromium, the system's, for tests of the page; skipped by name where there is none."""

import shutil
import time
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@contextmanager
def chromium():
    """Yield a browser of Playwright's."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser, looked for {', '.join(NAMES)}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, **options):
    """Yield the page at a URL; at its end nothing may have been said on its console, nor asked of any network but its own place."""
    context = browser.new_context(accept_downloads=True, **{"viewport": {"width": 1280, "height": 900}} | options)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    here = url.split("#")[0].split("?")[0]
    strange = [u for u in asked if not u.startswith((here, "data:", "blob:"))]
    context.close()
    assert said == [] and strange == []


def wait_until(holds, seconds=60.0):
    """Ask again until something holds (Playwright's own waiting evaluates text, which the page's policy forbids)."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)
