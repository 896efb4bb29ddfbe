import os

import pytest

from studies.errors import AblationError, InvalidStudy
from studies.loading import find_study, load_study, read_yaml, shipped_studies
from studies.planning import make_plan


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "study.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_loads_and_plans(name):
    loaded = load_study(name)
    assert loaded.study.name == name
    assert loaded.study.question
    plan = make_plan(loaded.study)
    assert plan.runs
    assert plan.baseline in {cell.variant for cell in plan.cells}


def test_the_shipped_studies():
    assert {"quickstart", "activation-norm-placement", "placement-warmup", "glu-variants"} <= set(
        shipped_studies()
    )


def test_a_path_comes_before_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_study("quickstart") == shipped_studies()["quickstart"]
    (tmp_path / "quickstart").write_text("name: own")
    assert find_study("quickstart") == (tmp_path / "quickstart").resolve()


@pytest.mark.parametrize("name", ["quikstart", "quickstart.yml"])
def test_an_unknown_study_gets_close_matches(name):
    with pytest.raises(AblationError, match=r"did you mean 'quickstart'\?.*Shipped: .*ablate list"):
        load_study(name)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "/", "."])
def test_names_that_are_no_files(name):
    with pytest.raises(AblationError, match="neither a file nor a shipped study"):
        load_study(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nmodel: {norm: rms\n", "not a YAML file.*line 3"),
        ("name: a\nmodel:\n  norm: rms\n  norm: layer\n", r"key given twice: norm(.|\n)*line 3"),
        ("seeds: 1\nname: a\nseeds: 2\n", "key given twice: seeds"),
        ("name: \x00", "not a YAML file"),
        (b"name: \xff\xfe\xfa", "not a YAML file"),
        ("name: !!python/object/apply:os.system [ls]", "not a YAML file.*python/object"),
        ("name: a\nseeds: !!int x", "not a YAML file.*invalid literal"),
        ("name: a\nseeds: 2001-99-99", "not a YAML file.*month"),
        ("name: a\nseeds: " + "9" * 5000, "not a YAML file.*digits"),
        ("? [a]\n: 1\n", "not a YAML file.*unhashable"),
        ("[" * 5000, "not a YAML file"),
        ("name: a\n---\nname: b\n", "not a YAML file.*single document"),
    ],
)
def test_text_that_is_no_yaml(written, text, message):
    path = written(text)
    with pytest.raises(AblationError, match=f"(?s){message}") as caught:
        load_study(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n", "3", "null"])
def test_yaml_that_is_no_mapping(written, text):
    with pytest.raises(InvalidStudy, match="a mapping of sections"):
        load_study(written(text))


def test_aliases_that_multiply_are_reported_in_short(written):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(InvalidStudy) as caught:
        load_study(written("name: a\n" + "\n".join(lines)))
    assert len(str(caught.value)) < 20_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read(written, tmp_path):
    path = written("name: a")
    (tmp_path / "study.yaml").chmod(0)
    with pytest.raises(AblationError, match="cannot be read"):
        load_study(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2.5e+2", -250.0),
        (".5e1", 5.0),
        ("0.001", 0.001),
        ("12", 12),
        ("e3", "e3"),
        ("1e", "1e"),
        ("1-e3", "1-e3"),
        ("none", "none"),
        ("null", None),
    ],
)
def test_scalars(written, text, value, tmp_path):
    written(f"x: {text}")
    assert read_yaml(tmp_path / "study.yaml") == {"x": value}


def test_merge_keys_are_yaml(written):
    path = written("name: a\nmodel: &m {norm: rms}\ntraining: {max_steps: 5, warmup_steps: 0}\n")
    assert load_study(path).study.model.norm == "rms"
    loaded = load_study(
        written(
            "name: a\ndesign:\n  kind: list\n  cells:\n    - &c {model.norm: rms}\n"
            "    - {<<: *c, model.bias: true}\n"
        )
    )
    assert loaded.study.design.cells[1] == {"model.norm": "rms", "model.bias": True}


SET = [
    ("training.max_steps=250", lambda s: s.training.max_steps, 250),
    ("training.learning_rate=3e-4", lambda s: s.training.learning_rate, 3e-4),
    ("data.subset=", lambda s: s.data.subset, None),
    ("seeds=3", lambda s: s.seeds, (0, 1, 2)),
    ("seeds=[4, 7]", lambda s: s.seeds, (4, 7)),
    ("question=a=b", lambda s: s.question, "a=b"),
    (" name = other", lambda s: s.name, "other"),
    ("factors.model.norm=[layer, rms]", lambda s: s.factors["model.norm"], ("layer", "rms")),
    ("factors.model.bias=[true, false]", lambda s: s.factors["model.bias"], (True, False)),
    ("design=full_factorial", lambda s: s.design.kind, "full_factorial"),
    ("report.confidence=0.9", lambda s: s.report.confidence, 0.9),
    ("report.baseline.model.norm=rms", lambda s: s.report.baseline["model.norm"], "rms"),
    ("execution.devices=2", lambda s: s.execution.devices, 2),
    (
        "design={kind: one_at_a_time, baseline: {model.norm: layer}}",
        lambda s: s.design.baseline,
        {"model.norm": "layer"},
    ),
]

FILE = """
name: some
factors: {model.norm: [layer, rms, none]}
training: {max_steps: 100}
report: {baseline: {model.norm: layer}}
"""


@pytest.mark.parametrize(("setting", "read", "value"), SET, ids=[setting for setting, *_ in SET])
def test_set(written, setting, read, value):
    path = written(FILE)
    loaded = load_study(path, [setting])
    assert read(loaded.study) == value
    key = setting.partition("=")[0].strip()
    assert list(loaded.overrides) == [key]
    assert make_plan(loaded.study, loaded.overrides).overrides == loaded.overrides


def test_set_reaches_into_a_design(written):
    path = written(FILE)
    settings = ["design={kind: one_at_a_time}", "design.baseline.model.norm=rms"]
    assert load_study(path, settings).study.design.baseline == {"model.norm": "rms"}
    settings = ["design=one_at_a_time", "design.baseline={model.norm: rms}"]
    assert load_study(path, settings).study.design.baseline == {"model.norm": "rms"}


def test_the_last_setting_of_a_key_wins(written):
    settings = ["training.max_steps=200", "training.max_steps=300"]
    assert load_study(written(FILE), settings).study.training.max_steps == 300


def test_set_arguments_of_a_module(written):
    path = written("name: a\nmodule: {import_path: 'a:B'}")
    study = load_study(path, ["module.arguments.hidden=8", "factors.module.arguments.x=[1, 2]"])
    assert study.study.module.arguments == {"hidden": 8}
    assert study.study.factors == {"module.arguments.x": (1, 2)}


@pytest.mark.parametrize("setting", ["", "training.max_steps", "=3", " =3", "a=[", "a=!!int x"])
def test_settings_that_cannot_be_read(setting, written):
    with pytest.raises(AblationError, match="--set "):
        load_study(written(FILE), [setting])


@pytest.mark.parametrize(
    "setting",
    ["training.max_step=3", "training.max_steps=x", "modle.norm=rms", "training=3", "training.=3"],
)
def test_set_is_named_as_the_source(setting, written):
    path = written(FILE + "model: {norm: layr}\n")
    with pytest.raises(InvalidStudy) as caught:
        load_study(path, [setting])
    sources = {problem.key: problem.source for problem in caught.value.problems}
    assert sources["model.norm"] == path
    assert set(sources.values()) == {path, "--set"}


def test_the_source_of_a_rule_that_set_breaks(written):
    with pytest.raises(InvalidStudy) as caught:
        load_study(written(FILE), ["training.warmup_steps=101"])
    [problem] = caught.value.problems
    assert (problem.source, problem.key) == ("--set", "training.warmup_steps")


def test_nothing_is_written_on_failure(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written("name: a\nmodel: {norm: layr}")
    with pytest.raises(InvalidStudy):
        load_study(path)
    assert [p.name for p in tmp_path.iterdir()] == ["study.yaml"]
