"""The verbs that use a checkpoint: what they print, what they write, one line for what is wrong."""

import io
import json
import re
import sys
from types import SimpleNamespace

import pytest

from laimbench.cli import main
from laimbench.cli.using import harmless
from laimbench.models.decoding import Sampling
from tests.deploy.conftest import write_wav


def run_json(capsys, *arguments):
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_prompt_is_continued_on_standard_output_alone(capsys, gpt, generator):
    assert main(["generate", str(gpt), "line 4", "--new-tokens", "9", "--seed", "3", "--temperature", "0.7"]) == 0
    captured = capsys.readouterr()
    expected = generator.generate(["line 4"], 9, Sampling(0.7, seed=3))[0]
    assert captured.out == expected.text + "\n"
    assert re.fullmatch(r"\d+ tokens, [\d,]+ tokens/s, (stop|length)\n", captured.err)


def test_many_prompts_from_everywhere(capsys, gpt, generator, tmp_path, monkeypatch):
    (tmp_path / "prompt.txt").write_text("naïve " * 100)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("日本".encode())))
    document = run_json(capsys, "generate", gpt, "line", "-", "--file", tmp_path / "prompt.txt", "--new-tokens", 8,
                        "--temperature", 0, "--stop", "\n")  # fmt: skip
    prompts = ["line", "日本", "naïve " * 100]
    expected = generator.generate(prompts, 8, Sampling(temperature=0), ["\n"])
    assert [c["prompt"] for c in document["completions"]] == prompts
    assert [c["text"] for c in document["completions"]] == [c.text for c in expected]
    assert [bool(c["note"]) for c in document["completions"]] == [False, False, True]
    assert document["tokens_per_s"] > 0
    assert main(["generate", str(gpt), "a", "b", "--new-tokens", "2"]) == 0
    assert "prompt 2" in capsys.readouterr().out


def test_classes_translations_transcripts(capsys, mlp, transformer, ctc, tmp_path):
    document = run_json(capsys, "classify", mlp, "builtin:digits:0", "builtin:digits:1", "--top", 2)
    assert [len(item["classes"]) for item in document["items"]] == [2, 2]
    assert main(["classify", str(mlp), "builtin:digits:0"]) == 0
    assert "builtin:digits:0" in capsys.readouterr().out
    document = run_json(capsys, "translate", transformer, "twelve", "two")
    assert [pair["source"] for pair in document["translations"]] == ["twelve", "two"]
    wav = write_wav(tmp_path / "a.wav", 300, 0.9)
    (transcript,) = run_json(capsys, "transcribe", ctc, wav)["transcripts"]
    assert transcript["item"] == str(wav) and transcript["note"] == "cut to its first 0.5 s"


@pytest.fixture
def fails(capsys):
    """Run a command line that must fail with code 2 and one line of error; return the line."""

    def check(*arguments):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ")
        return line

    return check


def test_the_wrong_verb_names_the_right_one(fails, gpt, mlp, transformer, ctc, audio, bert):
    fitting = {gpt: "generate", mlp: "classify", transformer: "translate", ctc: "transcribe", audio: "classify",
               bert: "classify"}  # fmt: skip
    for folder, verb in fitting.items():
        for wrong in {"generate", "classify", "translate", "transcribe"} - {verb}:
            assert f"laimbench {verb} {folder}" in fails(wrong, folder, "x")
    assert f"laimbench classify {mlp}" in fails("serve", mlp)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate", "GPT"], "nothing to work on"),
        (["generate", "GPT", "a", "--temperature", "-1"], "temperature is -1"),
        (["generate", "GPT", "a", "--new-tokens", "0"], "new_tokens is 0"),
        (["generate", "GPT", "a", "--stop", ""], "stop string is empty"),
        (["generate", "GPT", "--file", "none.txt"], "none.txt: cannot be read"),
        (["generate", "GPT", "-", "-"], "more than once"),
        (["generate", "nowhere", "a"], "nowhere: not a checkpoint"),
        (["classify", "MLP", "nothing.png"], "nothing.png: no such file"),
        (["classify", "MLP", "builtin:digits:0", "--top", "0"], "top is 0"),
        (["translate", "TRANSFORMER", "Zwölf"], "expected one of"),
        (["translate", "TRANSFORMER", "two", "--beams", "0"], "beams is 0"),
        (["transcribe", "CTC", "none.wav"], "none.wav: no such file"),
        (["serve", "GPT", "--host", "0.0.0.0"], "expected a --token"),
        (["serve", "GPT", "--host", "no such host", "--token", "t"], "cannot listen"),
    ],
)
def test_wrong_input_is_one_line(fails, request, arguments, said):
    folders = ("GPT", "MLP", "TRANSFORMER", "CTC")
    assert said in fails(*(request.getfixturevalue(a.lower()) if a in folders else a for a in arguments))


def test_a_taken_port_is_one_line(fails, gpt):
    from laimbench.cli.serve import listening

    with listening("127.0.0.1", 0) as listener:
        assert "cannot listen" in fails("serve", gpt, "--port", listener.getsockname()[1])


def test_standard_input_that_is_no_text(fails, gpt, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"ab\xff")))
    assert "not UTF-8 at byte 2" in fails("generate", gpt, "-")


def test_a_terminal_is_not_commanded():
    assert harmless("a\x1b[2J\tü日🎉\n\x07\x9b") == "a\\x1b[2J\tü日🎉\n\\x07\\x9b"
