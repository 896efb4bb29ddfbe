"""Rows of labelled data: what is read, and how what is wrong is told."""

import json
from pathlib import Path

import pytest

from lightning_modules.data.corpus import DataError
from lightning_modules.finetuning.examples import read_examples
from lightning_modules.finetuning.rows import READERS, read_rows
from studies.loading import read_yaml
from studies.tasks import TASKS, Task, task_path
from tests.lightning_modules_tests.task_files import easy_task, pair_task, write_rows

SHARED = Path(__file__).parents[3] / "shared/data/tasks"
REAL = {
    "sst2": ("sst2", 6920, 1821),
    "sick-entailment": ("sick", 4500, 4927),
    "sick-relatedness": ("sick", 4500, 4927),
    "mrpc": ("mrpc", 3576, 1725),
    "mctest": ("mctest", 280, 240),
}
"""Folder, and examples to train on and to score."""


def test_every_task_that_is_known_can_be_read_as_distributed():
    assert set(REAL) == set(TASKS)
    if not SHARED.is_dir():
        pytest.skip("the data sets are not here")
    for name, (folder, train, evaluation) in REAL.items():
        task = Task(source=str(SHARED / folder), **read_yaml(task_path(name)))
        assert len(read_examples(task, "train")) == train, name
        assert len(read_examples(task, "evaluation")) == evaluation, name


def test_fields_of_a_tsv_are_as_they_stand(tmp_path):
    task = easy_task(tmp_path)
    (tmp_path / "train.tsv").write_text('\ufeffsaid "the witness"\t1\r\nso\u2028so\t0\n')
    first, second = read_examples(task, "train")
    assert first.texts == ('said "the witness"',)
    assert (first.label, second.label) == (1.0, 0.0)
    assert second.texts == ("so\u2028so",)


def test_a_csv_may_quote(tmp_path):
    (tmp_path / "train.csv").write_text('text,label\n"one, two\nthree",1\nfour,0\n')
    task = easy_task(tmp_path).model_copy(
        update={"train": "train.csv", "header": True, "texts": ("text",), "label": "label"}
    )
    assert read_examples(task, "train")[0].texts == ("one, two\nthree",)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_tables_with_types_are_read_as_text(tmp_path, suffix):
    rows = [{"text": "one", "label": 1}, {"text": "two", "label": 0}]
    path = tmp_path / f"train.{suffix}"
    if suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    task = easy_task(tmp_path).model_copy(
        update={"train": path.name, "texts": ("text",), "label": "label"}
    )
    assert [example.label for example in read_examples(task, "train")] == [1.0, 0.0]


STORY = ["m.0", "Author", "A\\newlinestory", *(f"one: Q{q}?\tw{q}\tx\ty\tz" for q in range(4))]


def test_mctest_has_four_questions_to_a_story(tmp_path):
    (tmp_path / "train.tsv").write_text("\t".join(STORY) + "\n")
    (tmp_path / "train.ans").write_text("A\tB\tC\tD\n")
    task = Task(source=str(tmp_path), **{**read_yaml(task_path("mctest")), "train": "train.tsv"})
    examples = read_examples(task, "train")
    assert [example.label for example in examples] == [0, 1, 2, 3]
    assert examples[2].texts == ("A story", "Q2?")
    assert examples[2].choices == ("w2", "x", "y", "z")


@pytest.mark.parametrize(
    ("answers", "told"),
    [("A\tB\tC\n", "3 answers"), ("", "a line for each of the 1 stories; there are 0")],
)
def test_answers_that_are_missing_are_told(tmp_path, answers, told):
    (tmp_path / "train.tsv").write_text("\t".join(STORY) + "\n")
    (tmp_path / "train.ans").write_text(answers)
    task = Task(source=str(tmp_path), **{**read_yaml(task_path("mctest")), "train": "train.tsv"})
    with pytest.raises(DataError, match=told):
        read_examples(task, "train")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["one", "1", "more"], r"train.tsv:3'\n.*2 fields, as the first row has; this row has 3"),
        (["one"], "this row has 1"),
        (["one", "yes"], "a label of 0, 1; 2 is 'yes'"),
        (["", "1"], "nothing in column '1'"),
    ],
)
def test_a_malformed_row_is_told_with_its_line(tmp_path, row, told):
    task = easy_task(tmp_path)
    write_rows(tmp_path / "train.tsv", [["one", "1"], ["two", "0"], row])
    with pytest.raises(DataError, match=told):
        read_examples(task, "train")


@pytest.mark.parametrize("value", ["high", "nan", "inf"])
def test_a_number_to_predict_is_a_finite_number(tmp_path, value):
    task = pair_task(tmp_path, "similarity", label="degree", labels=None, metric="pearson")
    write_rows(tmp_path / "train.tsv", [["first", "second", "degree"], ["a", "b", value]])
    with pytest.raises(DataError, match="a number as the label"):
        read_examples(task, "train")


def test_a_column_that_is_not_there_has_a_close_one_named(tmp_path):
    task = pair_task(tmp_path, "similarity", texts=["frist", "second"])
    with pytest.raises(DataError, match="no column 'frist' did you mean 'first'"):
        read_examples(task, "train")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    task = easy_task(tmp_path)
    (tmp_path / "train.tsv").write_bytes(b"caf\xe9\t1\n")
    with pytest.raises(DataError, match="UTF-8 text"):
        read_examples(task, "train")
    (tmp_path / "train.tsv").unlink()
    with pytest.raises(DataError, match="No such file"):
        read_examples(task, "train")
    unknown = task.model_copy(update={"train": "train.xls"})
    with pytest.raises(DataError, match="format: tsv"):
        list(read_rows(unknown, "train.xls"))


def test_one_example_is_too_few(tmp_path):
    task = easy_task(tmp_path)
    write_rows(tmp_path / "train.tsv", [["one", "1"]])
    with pytest.raises(DataError, match="two examples or more; there are 1"):
        read_examples(task, "train")


def test_a_data_set_of_the_hub_is_read_by_its_split(monkeypatch, tmp_path):
    import datasets

    asked = {}

    def load(name, subset, **options):
        asked.update(name=name, subset=subset, **options)
        return [{"sentence": "good", "label": 1}, {"sentence": None, "label": 0}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    task = easy_task(tmp_path).model_copy(
        update={"source": "hub:nyu-mll/glue", "subset": "sst2", "texts": ("sentence",)}
    )
    rows = list(read_rows(task, "validation"))
    assert asked == {
        "name": "nyu-mll/glue", "subset": "sst2", "revision": None, "split": "validation"
    }  # fmt: skip
    assert rows[0].values == {"sentence": "good", "label": "1"}
    with pytest.raises(DataError, match="row 1"):
        read_examples(task.model_copy(update={"label": "label"}), "train")


def test_a_data_set_that_is_not_there_is_told(monkeypatch, tmp_path):
    import datasets

    def load(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load)
    task = easy_task(tmp_path).model_copy(update={"source": "hub:a/b"})
    with pytest.raises(DataError, match="ConnectionError: no network"):
        list(read_rows(task, "train"))


def test_every_format_has_a_reader():
    from typing import get_args

    from studies.tasks import TableFormat

    assert set(READERS) == set(get_args(TableFormat))
