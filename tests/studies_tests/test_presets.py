import pytest

from studies.compute import gpu_hours, training_flops
from studies.errors import InvalidStudy
from studies.loading import load_study, read_yaml
from studies.planning import make_plan
from studies.presets import PRESETS, preset_path


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_there_is_a_row_for_each_file():
    files = {path.stem for path in preset_path("gpt1").parent.glob("*.yaml")}
    assert files == set(PRESETS)


@pytest.mark.parametrize(
    ("name", "published", "tolerance"),
    [("gpt1", 117e6, 0.01), ("gpt2-small", 124_439_808, 0), ("nanogpt-gpu", 10.65e6, 0.01)],
)
def test_parameters_are_those_that_were_published(name, published, tolerance, tmp_path):
    text = tmp_path / "input.txt"
    text.write_text("".join(map(chr, range(32, 97))))  # 65 characters, as Tiny Shakespeare has
    plan = make_plan(load_study(name, [f"data.corpus={text}"]).study)
    parameters = plan.cells[0].parameters
    if name == "nanogpt-gpu":
        parameters -= 256 * 384  # nanoGPT leaves positions out
    assert parameters == pytest.approx(published, rel=tolerance)


def test_gpt1_computes_what_was_published():
    flops = training_flops(make_plan(load_study("gpt1").study))
    assert flops == pytest.approx(0.96e15 * 86400, rel=0.1)  # petaflop/s-days
    assert gpu_hours(312e12 * 0.4 * 3600) == pytest.approx(1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_study_starts_from_a_preset_and_changes_what_it_says(name, written):
    own = load_study(written(f"name: own\npreset: {name}\nmodel: {{n_layers: 2}}\n")).study
    preset = load_study(name).study
    assert own.preset == name
    assert own.model == preset.model.model_copy(update={"n_layers": 2})
    assert (own.data, own.training) == (preset.data, preset.training)
    assert own.seeds != preset.seeds  # how often a preset is run is its own affair


def test_what_is_set_wins_over_the_preset(written):
    path = written("name: own\npreset: gpt1\n")
    study = load_study(path, ["preset=nanogpt-cpu", "training.max_steps=7000"]).study
    assert study.model.d_model == 128
    assert study.training.max_steps == 7000


def test_a_preset_can_be_varied(written):
    text = "name: own\npreset: gpt1\nfactors: {model.placement: [pre, post]}\n"
    cells = make_plan(load_study(written(text)).study).cells
    assert [cell.configuration["model"]["placement"] for cell in cells] == ["pre", "post"]
    assert {cell.configuration["model"]["d_model"] for cell in cells} == {768}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("preset: gpt", "preset = 'gpt'(.|\n)*did you mean 'gpt1'"),
        ("preset: [gpt1]", "preset"),
        ("preset: gpt1\nmodel: 3", "model = 3"),
        ("preset: gpt1\ntraining: {max_steps: 9}", "gpt1.yaml: training.warmup_steps = 2000"),
        ("preset: gpt1\nmodel: {n_heads: 7}", "study.yaml: model.n_heads = 7"),
    ],
)
def test_what_cannot_be_is_named_with_its_file(written, text, message):
    with pytest.raises(InvalidStudy, match=message):
        load_study(written(f"name: own\n{text}\n"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_where_its_settings_are_from(name):
    assert preset_path(name).read_text().startswith("#")
    assert read_yaml(preset_path(name))["question"]
