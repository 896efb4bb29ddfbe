from studies.digests import (
    InitialValue,
    digest_tags,
    initial_values,
    parameter_entries,
    training_data,
    training_entries,
)

BATCHES = {1: "a", 2: "b", 16: "c", 9: "d"}
VALUES = {"head.weight": InitialValue((16, 64), "e"), "scale": InitialValue((), "f")}
DIGESTS = {
    **training_entries(BATCHES),
    "evaluation_data": "g",
    "probe_data": "h",
    **parameter_entries(VALUES),
}


def test_entries_are_read_as_they_were_written():
    assert list(training_data(DIGESTS).items()) == [(1, "a"), (2, "b"), (9, "d"), (16, "c")]
    assert initial_values(DIGESTS) == VALUES
    assert len(DIGESTS) == 8
    assert DIGESTS["parameter/head.weight"] == "16x64:e"


def test_nothing_recorded_is_nothing_known():
    assert (training_data({}), initial_values({}), digest_tags({})) == ({}, {}, {})


def test_tags_tell_runs_apart_by_what_they_were_given_and_started_from():
    tags = digest_tags(DIGESTS)
    assert tags.keys() == {"batches_digest", "evaluation_digest", "initial_values_digest"}
    assert (tags["batches_digest"], tags["evaluation_digest"]) == ("c", "g")
    assert digest_tags(dict(reversed(DIGESTS.items()))) == tags
    for name, value in (("head.weight", InitialValue((64, 16), "e")), ("more", VALUES["scale"])):
        other = digest_tags({**DIGESTS, **parameter_entries({name: value})})
        assert other["initial_values_digest"] != tags["initial_values_digest"]
        assert other["batches_digest"] == tags["batches_digest"]
