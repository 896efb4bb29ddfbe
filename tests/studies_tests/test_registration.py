import pytest

from studies.registration import (
    Registration,
    changes_since,
    register,
    registered_parts,
    seeds_added,
)
from tests.studies_tests.helpers import plan_of

GATING = {
    "claim": "A gate helps",
    "of": {"model.activation": "swiglu"},
    "against": {"model.activation": "gelu"},
    "direction": "lower",
}
STUDY = {
    "factors": {"model.activation": ["gelu", "swiglu"]},
    "training": {"max_steps": 200},
    "seeds": 2,
    "hypotheses": {"gating": GATING},
}


def registered(**changes) -> Registration:
    return register(
        plan_of(**{**STUDY, **changes}),
        registered_at="2026-01-31T12:00:00+00:00",
        after_first_runs=False,
        git={"commit": "0123abcd", "dirty": False},
    )


def changes_to(**changes):
    return changes_since(registered(), plan_of(**{**STUDY, **changes}))


def test_it_survives_being_written_and_read():
    registration = registered()
    read = Registration.model_validate_json(registration.model_dump_json())
    assert read == registration
    assert read.is_intact
    assert read.hypotheses == plan_of(**STUDY).study.hypotheses
    assert changes_since(read, plan_of(**STUDY)).text == ""


def test_each_part_has_a_digest_that_only_its_content_moves():
    one, other = registered(), registered(seeds=3)
    assert one.digests.keys() == one.parts.keys()
    assert {k for k in one.digests if one.digests[k] != other.digests[k]} == {"seeds"}
    longer = registered(training={"max_steps": 400})
    moved = {k for k in one.digests if one.digests[k] != longer.digests[k]}
    assert moved == {"training", "contrasts"}
    assert one.digest != other.digest
    assert registered().digest == one.digest


@pytest.mark.parametrize(
    "edit", [{"parts": {}}, {"after_first_runs": True}, {"registered_at": "2026-01-30T12:00:00"}]
)
def test_a_registration_that_was_edited_is_not_intact(edit):
    assert registered().is_intact
    assert not registered().model_copy(update=edit).is_intact


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"seeds": 5}, ("seeds: 2 → 5",)),
        ({"seeds": [3, 7]}, ("seeds: 2 → [3, 7]",)),
        (
            {"factors": {"model.activation": ["gelu", "swiglu", "relu"]}},
            ("factors.model.activation: [gelu, swiglu] → [gelu, swiglu, relu]",),
        ),
        (
            {"report": {"baseline": {"model.activation": "swiglu"}}},
            ("report.baseline: null → {model.activation: swiglu}",),
        ),
        ({"protocol": {"tolerance": 0.02}}, ("protocol.tolerance: 0.01 → 0.02",)),
        ({"report": {"layer_maps": []}, "question": "Or?", "name": "other"}, ()),
        ({"execution": {"devices": 2}, "diagnostics": {"log_every_steps": 1}}, ()),
    ],
)
def test_what_moves_no_test_is_told_in_words(changes, lines):
    found = changes_to(**changes)
    assert found.parts == lines
    assert (found.changed, found.added, found.removed) == ((), (), ())


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"training": {"max_steps": 400}}, ("training.max_steps: 200 → 400",)),
        ({"model": {"bias": True}}, ("model.bias: false → true",)),
        (
            {"factors": {"model.activation": ["gelu", "swiglu"], "model.norm": ["layer", "rms"]}},
            ("factors.model.norm: [layer, rms] added",),
        ),
        ({"protocol": {"match": "none"}}, ("protocol.match: parameters → none",)),
        (
            {"protocol": {"pruning": {"stage": "report"}}},
            ("protocol.pruning: null → {pruner: median, options: {}, stage: report}",),
        ),
        ({"report": {"confidence": 0.9}}, ("report.confidence: 0.95 → 0.9",)),
        ({"data": {"tokenizer": "characters"}}, ("data.tokenizer: bytes → characters",)),
    ],
)
def test_what_a_test_rests_on_changes_its_hypothesis(changes, lines):
    found = changes_to(**changes)
    assert found.parts == lines
    assert (found.changed, found.added, found.removed) == (("gating",), (), ())


def test_other_cells_of_the_same_words_are_another_hypothesis():
    norms = {"factors": {**STUDY["factors"], "model.norm": ["layer", "rms"]}}
    less = {"when": {"model.activation": "swiglu", "model.norm": "rms"}, "because": "it diverged"}
    plan = plan_of(**{**STUDY, **norms, "exclude": [less]})
    found = changes_since(registered(**norms), plan)
    assert found.changed == ("gating",)
    assert [part.partition(":")[0] for part in found.parts] == ["exclude"]


def test_a_search_that_was_added_is_told():
    search = {"kind": "sweep", "values": {"training.learning_rate": [1e-3, 3e-3]}}
    parts = changes_to(protocol={"search": search}).parts
    assert "protocol.search.kind: fixed → sweep" in parts
    assert "protocol.search.values: {training.learning_rate: [0.001, 0.003]} added" in parts


def test_long_values_are_cut():
    factors = {"model.activation": ["gelu", "swiglu"], "training.max_steps": list(range(100, 140))}
    [line] = changes_to(factors=factors).parts
    assert line.endswith("… added")
    assert len(line) < 100


def test_hypotheses_are_changed_added_and_removed():
    changed = {**GATING, "margin": 0.02}
    found = changes_to(hypotheses={"gating": changed})
    assert (found.changed, found.details) == (("gating",), {"gating": "margin: null → 0.02"})
    assert found.text == "hypothesis gating changed (margin: null → 0.02)"
    assert changes_to(hypotheses={"gating": {**GATING, "claim": "It does"}}).changed == ("gating",)
    renamed = changes_to(hypotheses={"gates": GATING}, seeds=3)
    assert (renamed.added, renamed.removed) == (("gates",), ("gating",))
    assert renamed.text == "seeds: 2 → 3; hypothesis gates added; hypothesis gating removed"


def test_a_text_is_registered_by_its_content_and_not_by_where_it_lies(tmp_path):
    def parts(folder, text):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "text.txt"
        path.write_text(text)
        return registered_parts(plan_of(**STUDY, data={"corpus": str(path)}))["data"]

    one = parts("a", "one text")
    assert one["corpus"] == "text.txt"
    assert one["corpus_digest"]
    assert parts("b", "one text") == one
    assert parts("b", "another text") != one


def test_weights_are_registered_by_their_content_and_only_where_there_are_any(tmp_path):
    def parts(folder, text, **changes):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "w.safetensors"
        path.write_text(text)
        return registered_parts(plan_of(**STUDY, model={"weights": str(path)}))["model"]

    one = parts("a", "weights")
    assert one["weights"] == "w.safetensors"
    assert one["weights_digest"]
    assert parts("b", "weights") == one
    assert parts("b", "others") != one
    factors = {**STUDY["factors"], "model.weights": [None, str(tmp_path / "a" / "w.safetensors")]}
    varied = registered_parts(plan_of(**{**STUDY, "factors": factors}))["model"]
    assert varied == {**one, "weights": None}
    assert not {"weights", "weights_digest"} & registered().parts["model"].keys()


def test_the_digests_of_a_registration_are_pinned():
    """Registrations that were written are held against these: change them on purpose."""
    assert registered().digests["model"] == "b8bc9f715ec5f0de"


def test_a_module_is_registered_by_its_content(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text("class Own: pass")
    parts = [
        registered_parts(plan_of(folder=tmp_path / folder, module={"import_path": "own.py:Own"}))[
            "module"
        ]
        for folder in ("a", "b")
    ]
    assert parts[0] == parts[1]
    assert parts[0]["import_path"] == "own.py:Own"
    assert registered().parts["module"] is None


def test_seeds_that_came_later_are_counted_of_what_is_intact():
    now = plan_of(**{**STUDY, "seeds": [1, 2, 5]})
    registration = registered()
    assert seeds_added(registration, now) == 2
    assert seeds_added(registration, plan_of(**STUDY)) == 0
    assert seeds_added(None, now) == 0
    edited = registration.model_copy(update={"digest": "0" * 16})
    assert seeds_added(edited, now) == 0
