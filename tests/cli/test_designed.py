"""What ``laimbench sweep --budget`` refuses, in one line each."""


def test_what_is_wrong_is_said(fails, tmp_path):
    assert "no ladder" in fails(2, "sweep")
    assert "without --budget" in fails(2, "sweep", "--family", "gpt", tmp_path / "x.toml")
    assert "expected a time" in fails(2, "sweep", "--budget", "soon")
    assert "expected exponent" in fails(2, "sweep", "--budget", "1e12", "--for", "fame")
    assert "no such file" in fails(2, "sweep", tmp_path / "x.toml", "--budget", "1e12")
    assert "family is 'vit'" in fails(2, "sweep", "--budget", "1e12", "--family", "vit")
