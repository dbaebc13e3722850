"""Text in and out: characters and stop strings across tokens, batches, prompts that are too long, reasons and counts."""

import pytest

from laimbench.deploy import text as text_module
from laimbench.deploy.detokenizer import Detokenizer
from laimbench.deploy.stops import StopStrings
from laimbench.deploy.text import Prompt
from laimbench.errors import InputError
from laimbench.models.decoding import Sampling

GREEDY = Sampling(temperature=0)
WRITTEN = "naïve 日本語 🎉👩‍🚀 end"


def says(monkeypatch, generator, *rows):
    """Make the model say these tokens to every prompt, whatever it is asked."""

    def scripted(model, prompts, new_tokens, sampling, end):
        for step in range(min(new_tokens, max(map(len, rows)))):
            yield [row[step] if step < len(row) else None for row in rows]

    monkeypatch.setattr(text_module, "stream", scripted)


def test_pieces_are_never_half_a_character_and_join_to_the_text(generator):
    tokens = generator.encode(WRITTEN)
    assert len(tokens) > len(WRITTEN)  # characters are spread over tokens
    decoder = Detokenizer(generator.tokenizer)
    pieces = [decoder.add(token) for token in tokens]
    assert "".join(pieces) == WRITTEN and decoder.rest() == ""
    assert not any("\ufffd" in piece for piece in pieces) and len([p for p in pieces if p]) > len(WRITTEN) // 2


def test_bytes_that_are_no_text_come_as_decoding_all_at_once_gives_them(generator):
    emoji, other = generator.encode("🎉"), generator.encode("日")
    tokens = [*emoji[:2], *generator.encode("a"), *other[1:], *emoji, *emoji[:3]] * 9
    decoder = Detokenizer(generator.tokenizer)
    joined = "".join(decoder.add(token) for token in tokens) + decoder.rest()
    assert joined == generator.tokenizer.decode(tokens) and joined.count("🎉") == 9 and "\ufffd" in joined


def test_an_unfinished_character_is_told_at_the_end(monkeypatch, generator):
    says(monkeypatch, generator, [*generator.encode("a"), *generator.encode("🎉")[:2]])
    (one,) = generator.generate(["x"], 3)
    assert one.text == "a\ufffd" and one.finish_reason == "length" and one.completion_tokens == 3


def test_stop_strings_across_tokens_end_the_text_before_them(monkeypatch, generator):
    tokens = generator.encode("one two 🎉 three")
    says(monkeypatch, generator, tokens)
    for stop, expected in (([" 🎉 th"], "one two"), (["never", "wo"], "one t"), (["one"], ""), (["🎉", "two"], "one ")):
        (found,) = generator.generate(["x"], len(tokens), stop=stop)
        assert (found.text, found.finish_reason) == (expected, "stop")
    (found,) = generator.generate(["x"], len(tokens), stop=["three!", "threee"])
    assert (found.text, found.finish_reason) == ("one two 🎉 three", "length")  # what was held back is told


def test_stop_strings_hold_back_only_what_may_become_one():
    stops = StopStrings(["ab\n", "bc"])
    assert [stops.add(piece) for piece in ("xa", "b", "a", "b", "cd")] == [
        ("x", False), ("", False), ("ab", False), ("", False), ("a", True),
    ]  # fmt: skip


def test_the_end_of_the_document_is_a_stop_and_not_text(monkeypatch, generator):
    says(monkeypatch, generator, [*generator.encode("ab"), generator.end], generator.encode("abcd"))
    first, second = generator.generate(["x", "y"], 4)
    assert (first.text, first.finish_reason, first.completion_tokens) == ("ab", "stop", 2)
    assert (second.text, second.finish_reason, second.completion_tokens) == ("abcd", "length", 4)


def test_a_batch_says_what_each_prompt_alone_is_answered(generator):
    prompts = ["line 7 of", "", "naïve 日本", "l"]
    together = generator.generate(prompts, 20, Sampling(temperature=0.9, seed=5))
    alone = [generator.generate([p], 20, Sampling(temperature=0.9, seed=5 + i))[0] for i, p in enumerate(prompts)]
    assert together == alone
    assert len({one.text for one in together}) == 4


def test_special_tokens_in_a_prompt_are_spelled_not_forged(generator):
    tokens = generator.encode("a<|end|>b")
    assert generator.end not in tokens and generator.tokenizer.decode(tokens) == "a<|end|>b"
    assert generator.prompt("", 5) == Prompt((generator.end,))


def test_a_long_prompt_keeps_its_last_tokens_and_room(generator):
    text = "line 9 of naïve text " * 200
    for new_tokens, kept in ((8, 40), (500, 24)):
        prompt = generator.prompt(text, new_tokens)
        assert prompt.cut and f"last {kept} tokens" in prompt.note
        assert list(prompt.tokens) == generator.encode(text)[-kept:]
    assert not generator.prompt("short", 8).note
    (cut,) = generator.generate([text], 8, GREEDY)
    assert cut.note and cut.prompt_tokens == 40 and cut.completion_tokens == 8


def test_a_full_context_is_a_length(generator):
    prompt = Prompt(tuple(generator.encode("line")) * 40)
    prompt = Prompt(prompt.tokens[: generator.context - 2])
    said = [piece for step in generator.stream([prompt], 100, GREEDY) for piece in step]
    assert (said[-1].finish_reason, said[-1].tokens) == ("length", 3)


def test_wrong_input_is_named(generator):
    for call, message in (
        (lambda: generator.generate(["a"], 0), "new_tokens is 0"),
        (lambda: generator.generate(["a"], 3, stop=[""]), "stop string is empty"),
        (lambda: generator.generate(["a\udcff"], 3), "not UTF-8"),
    ):
        with pytest.raises(InputError, match=message):
            call()
