from __future__ import annotations

import pytest

from lightning_modules.diagnostics.registry import DIAGNOSTICS
from studies import vocabulary
from studies.records import split_series
from tests.lightning_modules_tests.tiny_runs import tiny_spec, train, write_text


def test_names_are_those_of_the_vocabulary():
    assert list(DIAGNOSTICS) == list(vocabulary.DIAGNOSTICS)


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_each_one_records_what_it_defines_and_changes_nothing(tmp_path, name):
    corpus = write_text(tmp_path / "text.txt")
    model = {"dropout": 0.1, "norm": "batch"}
    plain = tiny_spec(corpus, model=model, diagnostics={"enabled": ()})
    looked = tiny_spec(corpus, model=model, diagnostics={"enabled": (name,)})
    without, rows_without = train(plain, tmp_path / "plain")
    result, rows = train(looked, tmp_path / "looked")
    added = {m for row in rows.values() for m in row} - {
        m for row in rows_without.values() for m in row
    }
    families = {(split_series(m) or (m.rpartition("/")[0],))[0] for m in added}
    assert families
    assert families == set(result.definitions) - set(without.definitions)
    for step, row in rows_without.items():
        assert row == {m: v for m, v in rows[step].items() if m not in added}


def test_no_diagnostics_is_fine(tmp_path):
    spec = tiny_spec(write_text(tmp_path / "text.txt"), diagnostics={"enabled": ()})
    _, rows = train(spec, tmp_path / "run")
    assert set(rows[12]) == {"train/loss", "train/learning_rate", "val/loss"}
