"""The server by its clients: completions, streams, every limit, who may ask, and clients that go away."""

import json
import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")

from laimbench.cli.serve import listening  # noqa: E402 - needs what was just asked for
from laimbench.deploy.serve import Limits, create_app  # noqa: E402
from laimbench.models.decoding import Sampling  # noqa: E402

LIMITS = Limits(body_bytes=4000, prompt_characters=1000, completions=4, concurrent=1, seconds=20)


@contextmanager
def serving(generator, limits=LIMITS, token=""):
    """Run a real server; give a client of it."""
    with listening("127.0.0.1", 0) as listener:
        app = create_app(generator, "tiny", limits, token)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def client(generator):
    with serving(generator) as client:
        yield client


def ask(client, **body):
    return client.post("/v1/completions", json=body)


def events(response):
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_completion_is_the_generators(client, generator):
    response = ask(client, model="tiny", prompt="line 3", max_tokens=12, temperature=0.8, top_k=9, seed=4)
    expected = generator.generate(["line 3"], 12, Sampling(0.8, top_k=9, seed=4))[0]
    body = response.json()
    assert response.status_code == 200 and body["object"] == "text_completion" and body["model"] == "tiny"
    assert body["choices"] == [
        {"index": 0, "text": expected.text, "logprobs": None, "finish_reason": expected.finish_reason}
    ]
    assert body["usage"] == {
        "prompt_tokens": expected.prompt_tokens,
        "completion_tokens": expected.completion_tokens,
        "total_tokens": expected.prompt_tokens + expected.completion_tokens,
    }


def test_prompts_as_texts_or_tokens_and_n(client, generator):
    texts = ["line 3", "naïve"]
    asked = {"max_tokens": 6, "seed": 1, "n": 2}
    by_text = ask(client, prompt=texts, **asked).json()
    by_tokens = ask(client, prompt=[generator.encode(text) for text in texts], **asked).json()
    assert by_text["choices"] == by_tokens["choices"] and by_text["usage"] == by_tokens["usage"]
    assert [choice["index"] for choice in by_text["choices"]] == [0, 1, 2, 3]
    assert by_text["usage"]["prompt_tokens"] == sum(len(generator.encode(text)) for text in texts)
    one = ask(client, prompt=generator.encode(texts[0]), max_tokens=6, seed=1).json()
    assert one["choices"][0]["text"] == by_text["choices"][0]["text"]
    empty = ask(client, max_tokens=3).json()
    assert empty["usage"]["prompt_tokens"] == 1


def test_a_stream_joins_to_the_completion(client):
    asked = {"prompt": ["line 5", "日本"], "max_tokens": 20, "seed": 2, "stop": "\n", "temperature": 1.2}
    whole = ask(client, **asked).json()
    response = ask(client, **asked, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(response)
    assert last["choices"] == [] and last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in mine) == choice["text"]
        assert [c["finish_reason"] for c in mine if c["finish_reason"]] == [choice["finish_reason"]]
    assert len({chunk["id"] for chunk in [*chunks, last]}) == 1


def test_models_and_health(client, generator):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == "tiny" and model["max_model_len"] == generator.context
    assert client.get("/health").json() == {"status": "ok", "model": "tiny", "running": 0}


@pytest.mark.parametrize(
    ("status", "said", "body"),
    [
        (400, "max_tokens is 49", {"max_tokens": 49}),
        (400, "greater than or equal to 1", {"max_tokens": 0}),
        (400, "context_length_exceeded", {"prompt": "x" * 45, "max_tokens": 10}),
        (400, "a prompt of 1001 characters", {"prompt": "x" * 1001}),
        (400, "6 completions", {"prompt": ["a", "b"], "n": 3}),
        (400, "no prompts", {"prompt": []}),
        (400, "expected a string, a list", {"prompt": {"a": 1}}),
        (400, "expected a string, a list", {"prompt": ["a", 1]}),
        (400, "outside 0 to 259", {"prompt": [260]}),
        (400, "outside 0 to 259", {"prompt": [-1]}),
        (400, "temperature", {"temperature": -1}),
        (400, "temperature", {"temperature": "hot"}),
        (400, "top_p", {"top_p": 0}),
        (400, "seed", {"seed": 2**63}),
        (400, "stop: expected up to 4", {"stop": ["a", "b", "c", "d", "e"]}),
        (400, "stop: expected up to 4", {"stop": ""}),
        (400, "logprobs is not supported", {"logprobs": 3}),
        (400, "echo is not supported", {"echo": True}),
        (400, "colour", {"colour": "red"}),
        (404, "expected 'tiny'", {"model": "gpt-9"}),
        (413, "more than 4000 bytes", {"user": "x" * 4000}),
    ],
)
def test_what_is_too_much_or_wrong_is_refused(client, status, said, body):
    response = ask(client, **body)
    error = response.json()["error"]
    assert response.status_code == status and said in json.dumps(error)
    assert error["type"] == "invalid_request_error" and {"message", "type", "param", "code"} == set(error)
    assert client.get("/health").json()["running"] == 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b'{"temperature": NaN}', b'{"prompt": "\\ud83d"}', b"\xff", b"[" * 3000]
)
def test_bad_json(client, content):
    response = client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


def test_what_a_page_of_another_site_could_send_is_refused(client):
    response = client.post("/v1/completions", content=b"{}", headers={"Content-Type": "text/plain"})
    assert response.status_code == 415 and "application/json" in response.json()["error"]["message"]


def test_other_paths_and_methods_are_errors_of_the_same_shape(client):
    assert client.get("/v1/none").json()["error"]["message"].endswith("Not Found")
    response = client.get("/v1/completions")
    assert response.status_code == 405 and response.json()["error"]["type"] == "invalid_request_error"


def test_null_and_harmless_fields_are_defaults(client):
    response = ask(
        client, prompt="a", max_tokens=2, stop=None, seed=None, logprobs=None, best_of=1, echo=False, user="me"
    )
    assert response.status_code == 200


def test_a_token_is_asked_for(generator):
    with serving(generator, token="geheim-é") as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "geheim-é".encode()}):
            response = client.post("/v1/completions", json={"max_tokens": 1}, headers=headers)
            assert response.status_code == 401 and response.json()["error"]["code"] == "invalid_api_key"
            assert client.get("/v1/models", headers=headers).status_code == 401
        right = {"Authorization": "Bearer geheim-é".encode()}
        assert client.post("/v1/completions", json={"max_tokens": 1}, headers=right).status_code == 200
        assert client.get("/health").status_code == 200


class Slow:
    """A generator whose steps take a while, and that counts them."""

    def __init__(self, generator, seconds):
        self._generator, self._seconds, self.steps = generator, seconds, 0

    def __getattr__(self, name):
        return getattr(self._generator, name)

    def stream(self, *arguments):
        for step in self._generator.stream(*arguments):
            time.sleep(self._seconds)
            self.steps += 1
            yield step


LONG = {
    "prompt": "",
    "max_tokens": 47,
    "temperature": 0,
}  # what it learned: whole lines, each character of it told at once


def wait_until_idle(client):
    deadline = time.monotonic() + 20
    while client.get("/health").json()["running"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_goes_away_stops_the_generation(generator, streamed):
    slow = Slow(generator, 0.1)
    with serving(slow) as client:
        if streamed:
            with client.stream("POST", "/v1/completions", json={**LONG, "stream": True}) as response:
                next(response.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json=LONG, timeout=0.3)
        wait_until_idle(client)
        assert 0 < slow.steps < 40


def test_more_requests_than_run_at_once_are_told_to_wait(generator):
    with serving(Slow(generator, 0.05)) as client:
        with client.stream("POST", "/v1/completions", json={**LONG, "stream": True}) as response:
            lines = response.iter_lines()  # held on to: dropped, it closes the connection
            next(lines)
            assert client.get("/health").json()["running"] == 1  # the event loop answers meanwhile
            refused = ask(client, max_tokens=1)
            assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        wait_until_idle(client)
        assert ask(client, max_tokens=1).status_code == 200


def test_a_request_that_takes_too_long_ends(generator):
    limits = Limits(concurrent=2, seconds=0.3)
    with serving(Slow(generator, 0.1), limits) as client:
        response = ask(client, **LONG)
        assert response.status_code == 504 and response.json()["error"]["type"] == "timeout"
        *_, last = events(ask(client, **LONG, stream=True))
        assert last["error"]["code"] == "timeout"
        wait_until_idle(client)


def test_a_failure_of_the_model_is_an_error_of_the_server(generator, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("secret path")
        yield

    monkeypatch.setattr(type(generator), "stream", fails)
    with serving(generator) as client:
        response = ask(client, max_tokens=1)
        assert response.status_code == 500 and response.json()["error"]["type"] == "server_error"
        assert "secret" not in response.text
        *_, last = events(ask(client, max_tokens=1, stream=True))
        assert last["error"]["type"] == "server_error"
        assert client.get("/health").json()["running"] == 0
