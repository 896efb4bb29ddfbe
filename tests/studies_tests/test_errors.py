import pytest

from studies.errors import ABSENT, InvalidStudy, Problem, close_matches

PROBLEM = Problem("a.yaml", "model.norm", "layr", "layer, rms", "did you mean 'layer'?")


def test_a_problem_names_file_key_value_allowed_and_remedy():
    assert str(PROBLEM).split("\n") == [
        "a.yaml: model.norm = 'layr'",
        "    allowed: layer, rms",
        "    do: did you mean 'layer'?",
    ]


def test_null_is_a_value_and_absence_is_not():
    assert "key = None\n" in str(Problem("a.yaml", "key", None, "x", "y"))
    assert "key\n" in str(Problem("a.yaml", "key", ABSENT, "x", "y"))


@pytest.mark.parametrize("value", ["a" * 10**6, [["x" * 500] * 500] * 500, {"k" * 999: "v" * 999}])
def test_a_huge_value_is_shown_in_short(value):
    assert len(str(Problem("a.yaml", "key", value, "x", "y"))) < 3000


def test_every_problem_is_in_the_message():
    other = Problem("--set", "seeds", 0, "one or more", "raise it")
    error = InvalidStudy([PROBLEM, other])
    assert str(error).startswith("2 problems in the study; nothing was run.")
    assert str(PROBLEM) in str(error)
    assert "2. --set: seeds = 0" in str(error)
    assert str(InvalidStudy([PROBLEM])).startswith("1 problem in")


def test_close_matches():
    assert close_matches("gellu", ["gelu", "relu", "rms"]) == "did you mean 'gelu' or 'relu'?"
    assert close_matches("zzz", ["gelu"]) == ""
    assert close_matches("RELU", ["relu"]) == "did you mean 'relu'?"
    assert close_matches("mymodel", ["MyModel"]) == "did you mean 'MyModel'?"


def test_names_of_other_code_bases_are_close():
    assert close_matches("lr", ["max_steps", "learning_rate"]) == "did you mean 'learning_rate'?"
    assert close_matches("model.hidden-size", ["model.d_model"]) == "did you mean 'model.d_model'?"
    assert close_matches("lr", ["max_steps"]) == ""
    layers = [f"layers.{index}.norm" for index in range(9)]
    assert close_matches("layer_norm", layers).count("norm") == 3
