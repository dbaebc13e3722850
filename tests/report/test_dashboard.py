"""The dashboard: the store's page and nothing else, for who may see it, made anew when runs have come in."""

import threading
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")

from laimbench.cli import main  # noqa: E402 - needs what was just asked for
from laimbench.cli.report import render_store  # noqa: E402
from laimbench.cli.serve import listening  # noqa: E402
from laimbench.errors import InputError  # noqa: E402
from laimbench.report.dashboard import LivePage, create_app  # noqa: E402
from laimbench.store import Store  # noqa: E402
from tests.report.browser import chromium, opened, wait_until  # noqa: E402
from tests.report.synthetic import curves, run  # noqa: E402


def add(store, **facts):
    """Put a finished run and its evaluations into the store."""
    row = run(1, **facts).to_dict()
    kept = ("family", "size", "backend", "dtype", "seed", "params", "params_non_embedding", "tokens", "flops")
    number = store.begin_run(f"{sorted(facts.items())}", row["sweep"], row["config"], {k: row[k] for k in kept}, row["machine"])  # fmt: skip
    (rows,) = curves([run(1, **facts)]).values()
    store.log(number, [{k: v for k, v in metric.to_dict().items() if k != "run_id"} for metric in rows])
    store.finish_run(number, "done", {})
    return number


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "runs.sqlite") as writer:
        for backend in ("torch", "laim"):
            add(writer, backend=backend)
        yield writer


@contextmanager
def serving(path, token="", every=0.0):
    """Run a real server of a store; give its address."""
    with Store(path, read_only=True) as reader, listening("127.0.0.1", 0) as listener:
        live = LivePage(reader.version, lambda version: render_store(reader, version)[1], every)
        server = uvicorn.Server(
            uvicorn.Config(create_app(live, token), log_level="critical", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def test_the_page_and_its_version_and_nothing_else(store):
    with serving(store.address) as url, httpx.Client(base_url=url, timeout=30) as client:
        page = client.get("/")
        version = client.get("/version").json()["version"]
        assert page.status_code == 200 and f'data-live="{version}"' in page.text and "connect-src 'self'" in page.text
        assert page.headers["cache-control"] == "no-store" and page.headers["x-frame-options"] == "DENY"
        assert {client.request(method, "/").status_code for method in ("POST", "PUT", "DELETE", "PATCH")} == {405}
        for path in ("/docs", "/openapi.json", "/runs.sqlite", "/../runs.sqlite"):
            assert client.get(path).status_code == 404


def test_only_this_machines_names_are_served_without_a_token(store):
    with serving(store.address) as url, httpx.Client(base_url=url, timeout=30) as client:
        port = url.rpartition(":")[2]
        assert client.get("/version", headers={"Host": f"evil.example:{port}"}).status_code == 421
        assert client.get("/version", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_a_token_is_needed_once(store):
    with serving(store.address, token="sesame") as url, httpx.Client(base_url=url, timeout=30) as client:
        for path in ("/", "/version", "/?token=wrong"):
            assert client.get(path).status_code == 401
        assert client.get("/version", headers={"Authorization": "Bearer sesame"}).status_code == 200
        assert client.get("/version").status_code == 401
        entered = client.get("/?token=sesame")
        assert (
            entered.status_code == 303
            and entered.headers["location"] == "/"
            and "HttpOnly" in entered.headers["set-cookie"]
        )
        assert client.get("/version").status_code == 200  # by the cookie


def test_the_page_is_made_when_there_is_news_and_not_too_often():
    now, newest, made = [0.0], ["1"], []
    live = LivePage(lambda: newest[0], lambda version: made.append(version) or f"page {version}", 30, lambda: now[0])
    assert [live.page(), live.page()] == ["page 1"] * 2 and made == ["1"]
    newest[0] = "2"
    assert live.version() == "1" and live.page() == "page 1"  # too early
    now[0] = 31.0
    assert live.version() == "2" and live.page() == "page 2" and made == ["1", "2"]
    now[0] = 90.0
    assert live.page() == "page 2" and made == ["1", "2"]  # no news


def test_the_store_s_version_tells_every_change(store):
    seen = [store.version()]

    def changed():
        seen.append(store.version())
        return seen[-1] not in seen[:-1]

    assert store.version() == seen[0]
    number = add(store, seed=1)
    assert changed()
    store.log(
        number,
        [
            {
                "step": 9,
                "tokens": 1,
                "flops": 1.0,
                "train_s": 1.0,
                "train_loss": 1.0,
                "val_loss": 1.0,
                "tokens_per_s": 1.0,
            }
        ],
    )
    assert changed()
    store.save_document("bench", {})
    assert changed()
    store.discard(number)
    assert changed()


def test_a_store_that_is_only_read_cannot_be_written(store):
    with Store(store.address, read_only=True) as reader:
        assert len(reader.runs()) == 2
        with pytest.raises(InputError, match="cannot be opened for writing"):
            reader.save_document("bench", {})
    with pytest.raises(InputError, match="no such file"):
        Store(store.address.path.with_name("none.sqlite"), read_only=True)


def test_other_machines_need_a_token(capsys, store):
    assert main(["dashboard", str(store.address), "--host", "0.0.0.0"]) == 2
    assert "expected a --token" in capsys.readouterr().err


def test_an_empty_store_waits_for_runs(tmp_path):
    with Store(tmp_path / "runs.sqlite"), serving(tmp_path / "runs.sqlite") as url:
        assert "holds no runs yet" in httpx.get(url, timeout=30).text


def test_runs_that_come_in_are_shown_and_what_the_reader_set_is_kept(store):
    with serving(store.address) as url, chromium() as browser, opened(browser, url + "/") as page:
        page.get_by_label("Filter").fill("laim")
        page.get_by_role("columnheader", name="seed").get_by_role("button").click()
        page.locator("#compute-gpt-fp32 .legend button", has_text="stock, end of run").click()
        assert page.locator(".filter output").inner_text() == "1 of 2 runs"
        for backend in ("torch", "laim"):
            add(store, backend=backend, seed=1)
        wait_until(lambda: page.locator(".filter output").inner_text() == "2 of 4 runs")
        assert page.get_by_label("Filter").input_value() == "laim"
        assert page.get_by_role("columnheader", name="seed").get_attribute("aria-sort") == "ascending"
        hidden = page.locator("#compute-gpt-fp32 .legend button[aria-pressed=false]")
        assert hidden.all_inner_texts() == ["stock, end of run"]
        assert page.locator(".live").inner_text().startswith("live")
