"""What differs between the protocols of studies, and what is known to be equal."""

from __future__ import annotations

import platform
from pathlib import Path

from reports.analysis.joined.protocol import ProtocolDifferences, collect_protocol
from reports.sections.joined import protocol as joined_protocol
from tests.reports_tests.joined_studies import CODE, SIX, joined, study, without_runs

SWEEP = {"search": {"kind": "sweep", "values": {"training.learning_rate": [1e-3, 3e-3]}}}


def different(data: ProtocolDifferences) -> dict[str, tuple[str, ...]]:
    return {setting.key: setting.values for setting in data.different}


def equal(data: ProtocolDifferences) -> set[str]:
    return {setting.key for setting in data.equal}


def test_every_key_is_either_different_or_equal(tmp_path: Path) -> None:
    first = study(tmp_path, "a", evaluation="e1")
    other = study(
        tmp_path, "b", seeds=(0, 1), evaluation="e2", data=CODE, model={"d_model": 64},
        training={"max_steps": 300}, report={"confidence": 0.9, "baseline":
                                             {"model.activation": "gelu", "model.norm": "layer"}},
    )  # fmt: skip
    data = collect_protocol(joined(first, other))
    found = different(data)
    assert found["data.corpus"] == ("python-docs", "python-stdlib")
    assert found["data.corpus_digest"] == tuple(
        f"{corpus}, python-{platform.python_version()}" for corpus in found["data.corpus"]
    )
    assert found["model.d_model"] == ("128", "64")
    assert found["training.max_steps"] == ("1000", "300")
    assert found["seeds"] == ("0, 1, 2, 3", "0, 1")
    assert found["confidence"] == ("95%", "90%")
    assert found["evaluation_set"] == ("e1", "e2")
    assert {"training.batch_size", "training.precision", "host", "packages.torch", "git.commit",
            "match", "baseline", "learning_rate", "search"} <= equal(data)  # fmt: skip
    assert not equal(data) & set(found)


def test_how_the_learning_rate_is_set_is_told(tmp_path: Path) -> None:
    factors = {"training.learning_rate": (1e-3, 3e-3)}
    varied = study(tmp_path, "c", seeds=(0,), factors=factors)
    data = collect_protocol(joined(study(tmp_path, "a", protocol=SWEEP), varied))
    found = different(data)
    assert found["learning_rate"] == ("swept for each variant", "varied as a factor")
    assert found["search"][0].startswith("sweep: learning rate 0.001, 0.003; seeds 10000, 10001")
    assert found["search"][1] == "none"
    searched = "searched for each variant (shared: 0.001)"
    assert found["training.learning_rate"] == (searched, "0.001, 0.003")


def test_what_one_study_has_not_recorded_is_equal_to_nothing(tmp_path: Path) -> None:
    first, silent = study(tmp_path, "a", evaluation="e1"), study(tmp_path, "b", data=CODE)
    found = collect_protocol(joined(first, silent))
    assert different(found)["evaluation_set"] == ("e1", "–")
    for results in (first, silent):
        for record in results.records.values():
            record.provenance["git"] = {"commit": None, "dirty": None}
    found = collect_protocol(joined(first, silent))
    assert "git.commit" not in {*different(found), *equal(found)}
    waiting = collect_protocol(joined(first, without_runs(silent)))
    assert "evaluation_set" not in {*different(waiting), *equal(waiting)}
    assert "host" not in equal(waiting)
    sentences = joined_protocol.render(waiting).sentences
    assert any(s.startswith("No run of B has a record yet") for s in sentences)


def test_what_is_equal_is_one_sentence_and_the_rest_a_table(tmp_path: Path) -> None:
    both = joined(study(tmp_path, "a"), study(tmp_path, "b", data=CODE))
    found = joined_protocol.render(collect_protocol(both))
    (sentence,) = found.sentences
    assert "d model 128" in sentence
    assert "git.commit 0123abcd" in sentence
    assert "corpus" not in sentence
    (table,) = found.tables
    assert list(table.data["setting"]) == ["data.corpus", "data.corpus_digest"]
    assert list(table.data[["A", "B"]].iloc[0]) == ["python-docs", "python-stdlib"]


def test_studies_of_one_protocol_say_so(tmp_path: Path) -> None:
    both = joined(study(tmp_path, "a"), study(tmp_path, "b", factors=SIX))
    found = joined_protocol.render(collect_protocol(both))
    assert found.tables == ()
    assert found.sentences[0] == "No setting differs between the studies."
