from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ablations.cli import main
from ablations.profiles import Profile, SlurmSettings, asked_profile, load_profile, profiles_path
from studies.errors import AblationError

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster.md"
IN_WORDS = {"–": None, "the one in use": None, "false": False}
"""Defaults as the table says them where they are no numbers."""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the file of profiles, from a mapping or as it is."""
    path = tmp_path / "profiles.yaml"
    monkeypatch.setenv("ABLATE_PROFILES", str(path))
    monkeypatch.delenv("ABLATE_PROFILE", raising=False)

    def write(content: object) -> Path:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def refusal(name: str | None = None) -> str:
    with pytest.raises(AblationError) as caught:
        load_profile(name)
    return str(caught.value)


def documented() -> tuple[dict[str, str], dict[str, object]]:
    """Keys of the document's table with the words of their defaults, and the profile it shows."""
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text.partition("| key | default | |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    defaults = {key: words.strip() for keys, words in rows for key in re.findall(r"`(\w+)`", keys)}
    [shown] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    return defaults, shown


def test_the_document_has_every_key_of_a_slurm_profile_with_its_default():
    words, _ = documented()
    fields = SlurmSettings.model_fields
    assert list(words) == list(fields)
    settings = SlurmSettings()
    for key, text in words.items():
        if key == "setup":
            assert (text, settings.setup) == ("–", ())
        elif key == "options":
            assert (text, settings.options) == ("–", {})
        else:
            expected = IN_WORDS[text] if text in IN_WORDS else int(text)
            assert getattr(settings, key) == expected, key


def test_the_profile_of_the_document_is_one(write):
    _, shown = documented()
    write(shown)
    profile = load_profile("lab")
    assert profile.model_dump(exclude_unset=True) == {
        **shown["lab"],
        "slurm": {**shown["lab"]["slurm"], "setup": ("module load cuda",)},
    }
    assert shown["lab"].keys() == Profile.model_fields.keys()


def test_without_a_file_or_with_an_empty_one_workers_are_local(write, tmp_path):
    assert load_profile() == Profile()
    assert Profile().launcher == "local"
    for text in ("", "# nothing yet\n"):
        write(text)
        assert load_profile() == Profile()
    assert "no profile 'lab'" in refusal("lab")
    assert "known: none; docs/cluster.md shows how to write one" in refusal("lab")


def test_a_profile_is_asked_for_by_option_then_variable_then_the_default_holds(write, monkeypatch):
    write({"default": {"workers": 1}, "lab": {"workers": 2}, "home": {"workers": 3}})
    assert load_profile().workers == 1
    monkeypatch.setenv("ABLATE_PROFILE", "lab")
    assert (load_profile().workers, asked_profile(None)) == (2, "lab")
    assert (load_profile("home").workers, asked_profile("home")) == (3, "home")
    monkeypatch.setenv("ABLATE_PROFILE", "")
    assert (load_profile().workers, asked_profile(None)) == (1, None)


def test_an_unknown_profile_is_told_with_what_it_may_mean(write, monkeypatch):
    path = write({"lab": {}, "home": {}})
    told = f"no profile 'lap' in {path}: did you mean 'lab'? known: home, lab"
    assert refusal("lap") == told
    monkeypatch.setenv("ABLATE_PROFILE", "lap")
    assert refusal() == told


def test_profiles_are_where_the_variables_say(monkeypatch, tmp_path):
    monkeypatch.setenv("ABLATE_PROFILES", "/etc/ablate.yaml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert profiles_path() == Path("/etc/ablate.yaml")
    monkeypatch.setenv("ABLATE_PROFILES", "")
    assert profiles_path() == tmp_path / "ablate" / "profiles.yaml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert profiles_path() == tmp_path / "me" / ".config" / "ablate" / "profiles.yaml"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"lab": {"laucher": "slurm"}}, "unknown key lab.laucher: did you mean 'launcher'"),
        (
            {"lab": {"slurm": {"partion": "gpu"}}},
            "unknown key lab.slurm.partion: did you mean 'partition'",
        ),
        ({"lab": {"zzz": 1}}, "unknown key lab.zzz: known: launcher, workers, storage,"),
        ({"lab": {"workers": 0}}, "lab.workers = 0: Input should be greater than or equal to 1"),
        ({"lab": {"workers": True}}, "lab.workers = True: a number; write it in digits"),
        ({"lab": {"slurm": {"stop_before_limit_s": 5}}}, "lab.slurm.stop_before_limit_s = 5: "),
        ({"lab": None}, "lab = None: "),
        ({"launcher": "slurm"}, "launcher = 'slurm': "),
        ("lab: [", "is no YAML"),
        ("- lab\n", "holds no profiles by name: "),
        ("lab", "holds no profiles by name: "),
    ],
)
def test_a_wrong_file_is_told_by_its_key(write, content, words):
    path = write(content)
    assert refusal().startswith(str(path))
    assert words in refusal()


@pytest.mark.parametrize(
    ("key", "url", "remedy"),
    [
        ("storage", "postgresql://ablate:geheim@db/ablations", "PGPASSWORD (or ~/.pgpass)"),
        ("storage", "mysql://ablate:geheim@db/ablations", "ABLATE_STORAGE"),
        ("tracking_uri", "http://ada:geheim@mlflow:5000", "MLFLOW_TRACKING_PASSWORD"),
        ("tracking_uri", "postgresql://ada:geheim@db/mlflow", "PGPASSWORD"),
    ],
)
def test_a_password_in_the_profiles_is_refused_and_not_repeated(write, key, url, remedy):
    path = write({"fine": {}, "lab": {key: url}})
    told = refusal("fine")
    assert told.startswith(f"{path}: lab.{key} has a password in it")
    assert remedy in told
    assert "geheim" not in told
    write({"lab": {key: url.replace(":geheim", "")}})
    assert getattr(load_profile("lab"), key) == url.replace(":geheim", "")


def test_an_unknown_launcher_is_told_with_those_that_there_are(write, tmp_path, capsys):
    write({"default": {"launcher": "slum"}})
    assert main(["run", "quickstart", "--home", str(tmp_path / "home")]) == 2
    told = "ablate: unknown launcher 'slum': did you mean 'slurm'? known: local, slurm, debug\n"
    assert capsys.readouterr().err == told
    assert not (tmp_path / "home").exists()
