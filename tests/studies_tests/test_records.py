import pytest
from pydantic import ValidationError

from studies.records import Leak, Outcome, RunRecord
from studies.vocabulary import NORMS

RECORD = {
    "run_key": "0" * 16,
    "study": "some",
    "variant": "layer",
    "seed": 0,
    "levels": {"model.norm": "layer", "model.placement": None},
    "attempt": 3,
    "outcome": Outcome.DIVERGED,
    "leak": Leak.IN_TRAINING,
    "summary": {"summary/steps": 7.0},
}


def test_a_record_survives_json():
    record = RunRecord(**RECORD)
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
    assert record.record_version == 1


def test_a_record_of_an_earlier_version_has_no_digests():
    assert RunRecord(**RECORD).digests == {}
    record = RunRecord(**RECORD, digests={"evaluation_data": "0123456789abcdef"})
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


def test_a_record_is_frozen_and_complete():
    with pytest.raises(ValidationError, match="frozen"):
        RunRecord(**RECORD).seed = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        RunRecord(**RECORD, loss=1.0)
    with pytest.raises(ValidationError, match="run_key"):
        RunRecord(**{k: v for k, v in RECORD.items() if k != "run_key"})


def test_the_known_leaks_of_norms_are_leak_labels():
    assert {norm.leak for norm in NORMS.values()} <= set(Leak)
