"""Tables: the same whatever the format, every oddity named by row and column, large files fast enough."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laimbench import laws
from laimbench.errors import InputError

TABLES = Path(laws.__file__).parent / "tables"


def same(first, second):
    assert first.columns.keys() == second.columns.keys()
    for name, column in first.columns.items():
        np.testing.assert_array_equal(column, second.columns[name], err_msg=name)


def test_all_rows_are_read_and_tokens_follow_from_six_n_d():
    table = laws.read_table(TABLES / "chinchilla_epoch.csv")
    runs = table.runs()
    assert len(runs["loss"]) == 245 and table.derived == ("tokens",)
    np.testing.assert_allclose(6 * runs["params"] * runs["tokens"], runs["flops"], rtol=1e-12)
    kept = laws.read_table(TABLES / "chinchilla_epoch.csv", where="kept_by_epoch=1")
    assert len(kept) == 240 and kept.rows[0] == 7
    assert "the filter keeps 240 of 245 rows" in kept.notes


def test_a_published_table_with_other_names():
    table = laws.read_table(TABLES / "chinchilla_isoflop.csv", where="outlier = 0 and budget >= 1e20")
    assert set(table.runs()) == {"params", "tokens", "flops", "loss"}
    assert table.columns["reason"].tolist() == ["none"] * len(table)
    assert any("flops is read from column 'budget'" in note for note in table.notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [("params,tokens,loss\n1,2,x\n", ["row 2", "'loss'", "'x'", "number"]), ("params,loss\n1,0\n", ["row 2", "positive"]),
     ("", ["no rows"]), ("params,loss\n", ["no rows"]), ("a,b\n1,2\n", ["loss"]), ("params,tokens,loss\n1,2\n", ["row 2", "loss"]),
     ("params,tokens,loss\n1,2,3,4\n", ["row 2", "4 cells", "3"]), ("params,params\n1,2\n", ["params", "twice"]),
     ("params,tokens,loss\n1,2,3\n\n-5,2,3\n", ["row 4", "'params'", "-5"]), ("N,D,loss\n1,inf,3\n", ["row 2", "'D' for tokens"]),
     ("N,D,loss\n1,,3\n", ["row 2", "empty"]), ("N,D,loss\n1,1.3X,3\n", ["'1.3X'", "1.3B"]), ("N,D,loss\n1e300,1e300,3\n", ["6 N D"]),
     ("N,n_params,loss\n1,1,3\n", ["--columns params="]), ("params,width,loss\n1,-3,3\n", ["'width'", "-3"]),
     ('a,b\n1,"2\n', ["b"]), ("params,loss\n" + "9" * 400 + ",1\n", ["row 2", "inf"])],
)  # fmt: skip
def test_wrong_tables_are_named_by_row_and_column(tmp_path, content, words):
    path = tmp_path / "runs.csv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        laws.read_table(path).runs()
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("x.jsonl", b'{"loss": 1}\n{loss}\n', ["row 2", "JSON"]), ("x.jsonl", b"[1]\n", ["row 1", "object"]),
     ("x.json", b"3", ["int", "list"]), ("x.json", b'{"loss": [1], "params": [1, 2]}', ["unequal"]),
     ("x.json", b"[" * 100_000, ["not JSON"]), ("x.json", b'[{"loss": 1}, 2]', ["row 2"]), ("x.csv", b"\xff\x00\xff", ["readable"]),
     ("x.csv.gz", b"params,loss\n", ["readable"]), ("x.csv.gz", gzip.compress(b"params,loss\n1,2\n")[:-9], ["readable"]),
     ("x.parquet", b"PAR1", ["Parquet"]), ("x.json", b"", ["no rows"]), ("x.csv", b'a\n"' + b"x" * 200_000, ["readable"])],
)  # fmt: skip
def test_files_that_are_not_what_they_say(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        laws.read_table(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    for path, word in ((tmp_path, "directory"), (tmp_path / "none.csv", "no such file")):
        with pytest.raises(InputError, match=word):
            laws.read_table(path)


def test_columns_are_mapped_and_json_lines_read(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text('{"N": 10, "D": 20, "val": 3.5, "kind": "a"}\n\n{"N": 11, "D": 21, "val": 3.4, "kind": "b"}\n')
    table = laws.read_table(path, {"params": "N", "tokens": "D", "loss": "val"}, {"kind": "b"})
    runs = table.runs()
    assert runs["params"].tolist() == [11] and runs["flops"].tolist() == [6 * 11 * 21] and table.rows.tolist() == [3]


def test_units_in_cells_and_headings_and_a_loss_that_is_not_there(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(
        'Model Size (M),tokens,FLOPs,loss\n70,1.4B,1 PF-days,2.5\n160,"2,000,000",1e18,\n410,10k,2 ZFLOPs,inf\n'
    )
    runs = laws.read_table(path).runs()
    assert runs["params"].tolist() == [70e6, 160e6, 410e6]
    assert runs["tokens"].tolist() == [1.4e9, 2e6, 1e4] and runs["flops"].tolist() == [8.64e19, 1e18, 2e21]
    assert runs["loss"][0] == 2.5 and np.isnan(runs["loss"][1:]).all()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_and_byte_order_marks(tmp_path, delimiter, encoding):
    path = tmp_path / "runs.txt"
    path.write_text(
        f'"para{delimiter}ms"{delimiter}loss\r\n1{delimiter}2\r\n\r\n3{delimiter}4{delimiter}\r\n', encoding=encoding
    )
    table = laws.read_table(path, columns={"params": f"para{delimiter}ms"})
    assert table.columns["params"].tolist() == [1, 3] and table.rows.tolist() == [2, 4]


def test_text_that_turns_up_late_keeps_the_labels_before_it_as_written(tmp_path):
    path = tmp_path / "runs.csv"
    rows = [f"1e6,1e7,3,{i:04d}" for i in range(5_000)] + ["1e6,1e7,3,last"]
    path.write_text("params,tokens,loss,name\n" + "\n".join(rows) + "\n")
    names = laws.read_table(path).columns["name"]
    assert names[7] == "0007" and names[-1] == "last"


def test_json_of_trackers_is_flattened(tmp_path):
    path = tmp_path / "runs.json"
    path.write_text(
        json.dumps(
            {"runs": [{"config": {"n_params": 5, "lr": 0.1}, "summary": {"loss": 2.0}, "tokens": 7, "tags": [1]}]}
        )
    )
    runs = laws.read_table(path).runs()
    assert {name: column.tolist() for name, column in runs.items()} == {
        "params": [5], "lr": [0.1], "loss": [2.0], "tokens": [7], "flops": [210],
    }  # fmt: skip
    path.write_text(json.dumps({"params": [5], "tokens": ["7"], "loss": [2.0]}))
    assert laws.read_table(path).runs()["flops"].tolist() == [210]


def test_keys_that_come_late_in_json_lines_are_missing_before(tmp_path):
    path = tmp_path / "runs.jsonl"
    first = [json.dumps({"loss": 1.0})] * 3_000
    path.write_text("\n".join([*first, json.dumps({"loss": 2.0, "note": "x", "accuracy": 0.5})]))
    columns = laws.read_table(path).columns
    assert columns["note"].tolist() == [""] * 3_000 + ["x"]
    assert np.isnan(columns["accuracy"][:-1]).all() and columns["accuracy"][-1] == 0.5


def test_a_filter_may_leave_out_wrong_cells_and_use_either_name(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("Size (B),D,loss,ok\n1,2,3,yes\n2,oops,3,no\n3,2,3,yes\n")
    columns = {"params": "Size (B)", "tokens": "D"}
    assert laws.read_table(path, columns, "ok = yes and params >= 2B").rows.tolist() == [4]
    assert laws.read_table(path, columns, "`Size (B)` < 2").rows.tolist() == [2]
    with pytest.raises(InputError, match="none of 3 rows"):
        laws.read_table(path, columns, "ok = maybe")
    with pytest.raises(InputError, match=r"runs\.csv: filter, character 6"):
        laws.read_table(path, columns, "ok = ")
    with pytest.raises(InputError, match=r"runs\.csv: no column 'okay', has Size \(B\), D, loss, ok"):
        laws.read_table(path, columns, "okay=1")


def test_frames_and_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"N": pandas.array([10, 20], dtype="Int64"), "D": [1.0, 2.0], "loss": [3.0, None], "kind": ["a", None]}
    )
    table = laws.from_dataframe(frame)
    assert table.runs()["flops"].tolist() == [60, 240] and np.isnan(table.runs()["loss"][1])
    same(table, laws.from_columns({"N": (10, 20), "D": np.array([1, 2]), "loss": [3, None], "kind": ["a", None]}))
    frame.loc[0, "N"] = pandas.NA
    with pytest.raises(InputError, match="data frame: row 1, column 'N' for params is empty"):
        laws.from_dataframe(frame)
    for data, word in (({"loss": [1], "params": [1, 2]}, "unequal"), ({"loss": 3}, "per row"), ({"loss": "abc"}, "per row"),
                       ({"loss": np.ones((2, 2))}, "per row"), ({}, "no rows"), ({1: [1], "1": [1]}, "one name")):  # fmt: skip
        with pytest.raises(InputError, match=word):
            laws.from_columns(data)
    with pytest.raises(InputError, match="one name"):
        laws.from_dataframe(pandas.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_table_without_the_target_says_so_and_metrics_are_targets():
    table = laws.from_columns({"N": [1, 2], "accuracy": [0.1, 0.2]})
    with pytest.raises(InputError, match="no column loss, has params, accuracy; name it by --columns loss=NAME"):
        table.runs()
    assert table.runs(target="accuracy")["accuracy"].tolist() == [0.1, 0.2]


positive = st.floats(1e-30, 1e30)
cells = st.fixed_dictionaries(
    {
        "params": positive,
        "tokens": positive,
        "loss": st.one_of(positive, st.none()),
        "note": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8).map(
            lambda text: "t" + text
        ),
        "other": st.floats(allow_nan=False),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(cells, min_size=1, max_size=6), order=st.randoms())
def test_every_format_gives_the_same_table_and_row_order_is_kept(tmp_path, rows, order):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    expected = laws.from_columns(columns)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([list(columns), *zip(*columns.values(), strict=True)])
    (tmp_path / "t.csv").write_bytes(text.getvalue().encode())
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "t.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    for suffix in ("csv", "csv.gz", "jsonl", "json", "parquet"):
        same(expected, laws.read_table(tmp_path / f"t.{suffix}"))
    same(expected, laws.from_dataframe(pandas.DataFrame(columns)))

    permutation = list(range(len(rows)))
    order.shuffle(permutation)
    shuffled = laws.from_columns({name: [column[i] for i in permutation] for name, column in columns.items()})
    same(shuffled, expected.select(permutation))


def test_a_long_table_is_read_in_bounded_memory(tmp_path):
    import tracemalloc

    path, rows = tmp_path / "long.csv", 20_000
    with path.open("w") as stream:
        stream.write("name,N,D,loss\n")
        stream.writelines(f"run{i % 100},{i + 1}e6,{2 * i + 1}e7,{2 + i / rows}\n" for i in range(rows))
    tracemalloc.start()
    table = laws.read_table(path, where="N > 1M")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == rows - 1
    # per row: five columns of 8 bytes, whole and filtered, and the text of one column; dicts would be six times that
    assert peak < 300 * rows
