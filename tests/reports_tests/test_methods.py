from pathlib import Path

import pytest

from reports.exhibits import Exhibits
from reports.references import as_text, bibliography, keys_of
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.results.sources import load_study
from reports.sections.contents import SECTIONS
from reports.sections.methods import methods_exhibits
from studies.methods import STATISTICS
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic, grid_study, write_study
from tests.reports_tests.searched import RATE, searched
from tests.studies_tests.helpers import plan_of
from tests.tex import run_tex

TWO = {"model.activation": ("relu", "swiglu")}
SWEEP = {"kind": "sweep", "values": {RATE: [0.001, 0.003]}, "seeds": 2, "extend": 0}


def paragraph(results: StudyResults) -> str:
    return methods_exhibits(results, exhibits_of(results)).sentences[0]


def exhibits_of(results: StudyResults) -> list[Exhibits]:
    found = (section.exhibits(results) for section in SECTIONS.values())
    return [exhibits for exhibits in found if exhibits is not None]


def study(tmp_path: Path, factors=TWO, fates=None, seeds=(0, 1), **settings) -> StudyResults:
    plan = grid_study(seeds, factors, report={}, **settings)
    return load_study(write_study(tmp_path / "study", plan, Synthetic(fates or {})))


def test_a_plain_study_says_what_was_done_and_no_more(small: StudyResults) -> None:
    text = paragraph(small)
    assert "We compare 4 variants of a decoder-only transformer (Vaswani et al. 2017;" in text
    assert "activation: ReLU (Nair & Hinton 2010), GELU (Hendrycks & Gimpel 2016)" in text
    assert "with pre placement of norms (Xiong et al. 2020)" in text
    assert "AdamW (Loshchilov & Hutter 2019)" in text
    assert "No hyper-parameter was searched for" in text
    assert "on 3 paired seeds; it is reported with paired t intervals (95%) (Student 1908)" in text
    assert "Runs used PyTorch 2.13.0 (Paszke et al. 2019)" in text
    assert "Holm's adjustment for several tests (Holm 1979)" in text
    for word in ("sign-flip", "two one-sided", "TPE", "pruner", "gated", "(partial:", "Tokenizers"):
        assert word not in text


def test_what_diverged_or_is_missing_is_told(grid: StudyResults) -> None:
    text = paragraph(grid)
    assert "exact intervals of proportions (95%) (Clopper & Pearson 1934)" in text
    assert "(partial: 52 of 56 runs finished; 1 failed, 3 missing)" in text
    assert "the hidden width of gated feed-forwards keeps their parameters equal" in text


def test_before_the_first_run_nothing_was_trained(tmp_path: Path) -> None:
    fates = {(name, seed): Outcome.MISSING for name in ("relu", "swiglu") for seed in (0, 1)}
    text = paragraph(study(tmp_path, fates=fates))
    assert "Runs are to be trained" in text
    assert "Numbers and figures were made with NumPy" in text
    assert "paired t" not in text
    assert "PyTorch" not in text


def test_one_seed_of_one_variant(tmp_path: Path) -> None:
    text = paragraph(study(tmp_path, {}, seeds=(0,)))
    assert text.startswith("We train one variant of a decoder-only transformer")
    assert "on one seed, which gives no interval." in text


def test_a_sweep_and_its_pruner() -> None:
    protocol = {"search": SWEEP, "pruning": {"pruner": "median"}}
    raw = {"factors": TWO, "seeds": 2, "protocol": protocol}
    results = searched(lambda variant, settings, seed: 3.0 + settings[RATE], **raw)
    text = paragraph(results)
    assert "For each variant, learning rate (0.001, 0.003) was chosen by a sweep" in text
    assert "on 2 seeds that no compared run uses" in text
    assert "a searched learning rate" in text
    assert "runs of the search without hope were ended by the pruner median (Golovin" in text
    unsettled = paragraph(
        searched(lambda variant, settings, seed: 3.0 + settings[RATE], rounds=0, **raw)
    )
    assert "(chosen so far for 0 of 2 variants)" in unsettled
    assert "Wortsman" in text


def test_a_tuning_names_its_sampler() -> None:
    search = {
        "kind": "tune", "ranges": {RATE: {"low": 0.001, "high": 0.01}}, "trials": 2, "at_once": 2,
        "sampler": "gp", "seeds": 1, "extend": 0,
    }  # fmt: skip
    text = paragraph(searched(lambda *_: 3.0, factors=TWO, seeds=1, protocol={"search": search}))
    assert "2 trials that Optuna (Akiba et al. 2019) proposed with Gaussian process (Ament" in text
    assert "one seed that no compared run uses" in text


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"minutes": 5}, "for 5 minutes of training (Geiping & Goldstein 2022) in steps of"),
        ({"tokens": 1e5}, "(an equal budget of training tokens)"),
        ({"flops": 1e12}, "(an equal budget of FLOPs of training (Kaplan et al. 2020;"),
    ],
)
def test_fixed_budgets(tmp_path: Path, budget: dict[str, float], said: str) -> None:
    assert said in paragraph(study(tmp_path, protocol={"budget": budget}))


def test_of_a_module_of_ones_own_nothing_is_claimed() -> None:
    module = {"import_path": "tests.lightning_modules_tests.own_modules:OwnModel"}
    plan = plan_of(module=module, factors={"model.norm": ["rms", "layer"]}, seeds=1)
    text = paragraph(assemble(plan, {}, {}))
    assert "variants of the module tests.lightning_modules_tests.own_modules:OwnModel" in text
    assert "(norm: RMSNorm, LayerNorm)" in text
    assert "with the optimiser of the module" in text
    for word in ("AdamW", "cosine", "Zhang", "decoder-only", "placement", "gated"):
        assert word not in text


def test_what_a_section_says_it_used_is_a_method_that_is_known(grid: StudyResults) -> None:
    for exhibits in exhibits_of(grid):
        assert set(exhibits.methods) <= set(STATISTICS)


def test_the_references_are_those_that_the_paragraph_cites(small: StudyResults) -> None:
    exhibits = methods_exhibits(small, exhibits_of(small))
    files = {document.name: document.text for document in exhibits.documents}
    cited = set(keys_of_tex(files["methods.tex"]))
    assert {line.partition("{")[2][:-1] for line in files["references.bib"].splitlines()
            if line.startswith("@")} == cited  # fmt: skip
    assert list(exhibits.sentences[1:]) == [bibliography()[key].text for key in sorted(cited)]


def keys_of_tex(text: str) -> list[str]:
    groups = [part.partition("}")[0] for part in text.split(r"\citep{")[1:]]
    return [key for group in groups for key in group.split(",")]


def test_the_paragraph_compiles_with_natbib(grid: StudyResults, tmp_path: Path) -> None:
    for document in methods_exhibits(grid, exhibits_of(grid)).documents:
        (tmp_path / document.name).write_text(document.text)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{natbib,url}"
        r"\begin{document}\input{methods}\bibliographystyle{plainnat}"
        r"\bibliography{references}\end{document}"
    )
    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        done = run_tex(tmp_path, "paper", command)
        assert done.returncode == 0, done.stdout[-3000:]
        assert "warning" not in done.stdout.lower() or command == "pdflatex", done.stdout
    assert "undefined" not in done.stdout


def test_text_and_latex_cite_the_same(grid: StudyResults) -> None:
    exhibits = methods_exhibits(grid, exhibits_of(grid))
    assert "\x02" not in exhibits.sentences[0]
    assert all("\x02" not in document.text for document in exhibits.documents)
    assert as_text("plain") == "plain"
    assert keys_of(["plain"]) == ()
