"""The wire format of OpenAI's completions: requests checked, responses and errors in its shapes.

Source: the OpenAI API reference, "Completions". What a request asks for and is not supported is refused, never ignored.
"""

import json
import time
import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from laimbench.models.decoding import SEEDS

MOST_STOPS = 4
EXPECTED = {  # of fields with several forms, where pydantic's first complaint misleads
    "prompt": "expected a string, a list of strings, token ids, or a list of lists of token ids",
    "stop": "expected a string or a list of strings",
}
REFUSED = {  # fields that would change the answer, with the values that would not
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "logprobs": (None,),
    "presence_penalty": (None, 0),
    "suffix": (None, ""),
}


class ApiError(Exception):
    """An answer that is an error: its HTTP status and OpenAI's fields."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.headers = status, headers
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class StreamOptions(BaseModel):
    """include_usage: a last chunk with the counts of tokens."""

    model_config = ConfigDict(extra="forbid", strict=True)
    include_usage: bool = False


class CompletionRequest(BaseModel):
    """The body of POST /v1/completions; null stands for a field's default."""

    model_config = ConfigDict(extra="forbid", strict=True)
    model: str = ""
    prompt: str | list[str] | list[int] | list[list[int]] = ""
    max_tokens: int = Field(16, ge=1)
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    n: int = Field(1, ge=1)
    stop: str | list[str] = Field(default_factory=list)
    seed: int | None = Field(None, ge=0, lt=SEEDS)
    stream: bool = False
    stream_options: StreamOptions = Field(default_factory=StreamOptions)
    user: str = ""

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts, each once: texts, or rows of token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        return [self.prompt] if self.prompt and isinstance(self.prompt[0], int) else self.prompt

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop


def parse_request(body: bytes) -> CompletionRequest:
    """Return the request in a body.

    Raises:
        ApiError: status 400: not JSON, a wrong field, or one that is not supported.
    """
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise ApiError(400, "the body is not a JSON object")
    for name, harmless in REFUSED.items():
        if given.pop(name, None) not in harmless:
            raise ApiError(400, f"{name} is not supported", param=name, code="unsupported_parameter")
    try:
        asked = CompletionRequest.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(first["loc"][0])
        raise ApiError(400, f"{name}: {EXPECTED.get(name, first['msg'])}", param=name) from None
    if not asked.prompts:
        raise ApiError(400, "prompt: no prompts, expected one or more", param="prompt")
    if len(asked.stops) > MOST_STOPS or not all(asked.stops):
        raise ApiError(400, f"stop: expected up to {MOST_STOPS} strings that are not empty", param="stop")
    return asked


class Answer:
    """What the chunks and the whole of one completion have in common."""

    def __init__(self, model: str):
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def body(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> dict[str, Any]:
        """Return a completion, or a chunk of one."""
        return {**self._head, "choices": choices, **({"usage": usage} if usage else {})}


def choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def event(document: dict[str, Any]) -> str:
    """Return a server-sent event."""
    return f"data: {json.dumps(document)}\n\n"
