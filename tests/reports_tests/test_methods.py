from dataclasses import replace
from pathlib import Path

import pytest

from reports.references import as_text, keys_of
from reports.results.assembly import assemble
from reports.results.frame import StudyResults
from reports.sections.methods import methods_exhibits
from reports.words import grouped
from studies.content import weights_digest
from studies.methods import STATISTICS
from studies.metrics import PARAMETERS_NON_EMBEDDING
from studies.records import Outcome
from tests.reports_tests.given_weights import TOLD, from_weights
from tests.reports_tests.hypothesis_studies import below, hypothesis, many, results_of
from tests.reports_tests.methods_paragraphs import TWO, exhibits_of, paragraph, study
from tests.reports_tests.searched import RATE, searched
from tests.studies_tests.helpers import plan_of
from tests.tex import run_tex

SWEEP = {"kind": "sweep", "values": {RATE: [0.001, 0.003]}, "seeds": 2, "extend": 0}


def test_a_plain_study_says_what_was_done_and_no_more(small: StudyResults) -> None:
    text = paragraph(small)
    assert "We compare 4 variants of a decoder-only transformer (Vaswani et al. 2017;" in text
    assert "activation: ReLU (Nair & Hinton 2010), GELU (Hendrycks & Gimpel 2016)" in text
    assert ", with pre-norm (Xiong et al. 2020), learned positions (Radford" in text
    assert "AdamW (Loshchilov & Hutter 2019)" in text
    assert "No hyper-parameter was searched for" in text
    reported = "it is reported with paired t intervals (95%) (Student 1908)"
    assert f"on 3 seeds, the same for all variants; {reported}" in text, "no digest says more"
    assert "Runs used PyTorch 2.13.0 (Paszke et al. 2019)" in text
    assert "Holm's adjustment for several tests (Holm 1979)" in text
    for word in ("sign-flip", "two one-sided", "TPE", "pruner", "gated", "(partial:", "Tokenizers"):
        assert word not in text


def test_what_a_reviewer_asks_for_is_said(small: StudyResults) -> None:
    text = paragraph(small)
    assert "of 4 layers, width 128, 4 heads, context length 64 (activation" in text
    assert "AdamW (Loshchilov & Hutter 2019) (β₁ = 0.9, β₂ = 0.99, ε = 1e-08, weight dec" in text
    assert "weight decay 0.1) and learning rate 0.001" in text
    assert "gradients clipped (Pascanu et al. 2013) to norm 1, no dropout, in single pre" in text
    [size] = {cell.parameters for cell in small.plan.cells}
    assert size is not None
    assert f"; they have {grouped(size)} parameters." in text
    sized = with_facts(with_summary(small, 2_000_000), train_tokens=10_000, validation_tokens=900)
    text = paragraph(sized)
    assert "parameters, 2\u202f000\u202f000 without embeddings." in text
    assert "UTF-8 byte, 256 in all; 10\u202f000 tokens for training, 900 held out)" in text


def with_facts(results: StudyResults, **facts: object) -> StudyResults:
    records = {
        key: record.model_copy(update={"facts": {**record.facts, **facts}})
        for key, record in results.records.items()
    }
    return replace(results, records=records)


def with_summary(results: StudyResults, non_embedding: float) -> StudyResults:
    records = {
        key: record.model_copy(
            update={"summary": {**record.summary, PARAMETERS_NON_EMBEDDING: non_embedding}}
        )
        for key, record in results.records.items()
    }
    return replace(results, records=records)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"corpus": "python-docs", "corpus_digest": "python-3.11.7"},
         "on the text “Python help topics” of Python 3.11.7 (one token per UTF-8 byte"),
        ({"corpus": "/home/me/wiki.txt", "tokenizer": "bpe"},
         "on the text wiki.txt (byte-level byte-pair encoding, trained on the training split "
         "(Sennrich et al. 2016), a vocabulary of 4\u202f096)"),
        ({"corpus": "hub:me/data", "tokenizer": "/home/me/tokenizer.json"},
         "on the data set me/data (tokenizer tokenizer.json, a vocabulary of 4\u202f096)"),
    ],
)  # fmt: skip
def test_text_and_tokens_are_in_words_of_a_paper(
    tmp_path: Path, data: dict[str, str], said: str
) -> None:
    text = paragraph(with_facts(study(tmp_path, data=data), vocabulary_size=4096))
    assert said in text
    assert "/home" not in text


def test_other_settings_of_training_are_said(tmp_path: Path) -> None:
    training = {"gradient_clip_norm": None, "precision": "bf16-mixed", "weight_decay": 0.0}
    text = paragraph(study(tmp_path, training=training, model={"dropout": 0.1}))
    assert "weight decay 0)" in text
    assert "gradients not clipped, dropout 0.1 (Srivastava et al. 2014), in mixed precision" in text
    factors = {"model.activation": ("relu", "gelu"), "training.weight_decay": (0.0, 0.1)}
    assert "weight decay varied)" in paragraph(study(tmp_path / "varied", factors))


def test_what_follows_from_the_levels_is_not_called_equal(tmp_path: Path) -> None:
    same = "No hyper-parameter was searched for: all variants have the same settings, but for what"
    text = paragraph(study(tmp_path))
    assert f"{same} is compared, and for the hidden width, which follows from it." in text
    ungated = study(tmp_path / "ungated", {"model.activation": ("relu", "gelu")})
    assert f"{same} is compared." in paragraph(ungated)
    norms = study(tmp_path / "norms", {"model.norm": ("layer", "group", "dyt")})
    assert f"{same} is compared." in paragraph(norms), "groups mean nothing for the others"
    factors = {"model.activation": ("relu", "swiglu"), "model.n_layers": (2, 4)}
    flops = study(tmp_path / "flops", factors, protocol={"budget": {"flops": 1e12}})
    said = "and for the hidden width and the number of steps, which follow from it."
    assert said in paragraph(flops)


def test_hypotheses_are_told_with_their_margins(tmp_path: Path) -> None:
    losses = below(0.03)
    declared = {"h": hypothesis(margin=0.02), "new": many(2)["h1"]}
    results = results_of(tmp_path, declared, losses, registered={"h": hypothesis(margin=0.02)})
    text = paragraph(results)
    assert (
        "One hypothesis was registered before the first run: SwiGLU · LayerNorm against ReLU · "
        "LayerNorm, expected lower, margin 0.02 nats/token. One hypothesis, exploratory, was added "
        "after the first run: SwiGLU · RMSNorm against ReLU · RMSNorm, expected different, margin "
        "left to the data."
    ) in text
    changed = results_of(tmp_path / "c", {"h": hypothesis(margin=0.01)}, losses,
                         registered={"h": hypothesis(margin=0.02)})  # fmt: skip
    assert (
        "One hypothesis, exploratory, was registered before the first run and changed after it: "
        "SwiGLU · LayerNorm against ReLU · LayerNorm, expected lower, margin 0.01 nats/token."
    ) in paragraph(changed)
    both = paragraph(results_of(tmp_path / "both", many(2), losses))
    assert "Two hypotheses were registered before the first run: " in both
    assert "exploratory" not in both


def test_the_core_can_do_without_the_other_paragraphs(grid: StudyResults) -> None:
    files = {d.name: d.text for d in methods_exhibits(grid, exhibits_of(grid)).documents}
    assert "Further results are reported with analysis" in files["methods_statistics.tex"]
    assert "Recorded while training: " in files["methods_diagnostics.tex"]
    assert "Runs used PyTorch" in files["methods_software.tex"]
    assert r"paired t intervals (95\%)~\citep{student1908probable}, Holm" in files["methods.tex"]
    for words in ("Recorded", "PyTorch", "NumPy", "noise floor", "analysis of variance", "early"):
        assert words not in files["methods.tex"]


def test_what_diverged_or_is_missing_is_told(grid: StudyResults) -> None:
    text = paragraph(grid)
    sizes = [cell.parameters or 0 for cell in grid.plan.cells]
    assert f"; they have {grouped(min(sizes))} to {grouped(max(sizes))} parameters." in text
    assert "exact intervals of proportions (95%) (Clopper & Pearson 1934)" in text
    assert "(partial: 52 of 56 runs finished; 1 failed, 3 missing)" in text
    assert "the hidden width of gated feed-forwards is set so that their parameters match" in text
    assert "an ungated one (Shazeer 2020) (341 units, 512 without a gate)" in text
    assert "placement: pre-norm (Xiong et al. 2020), post-norm (Vaswani et al. 2017)" in text


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
    tables = [t.caption for found in exhibits_of(small) for t in found.tables]
    cited = {key for text in files.values() for key in keys_of_tex(text)} | {*keys_of(tables)}
    assert set(keys_of(tables)) >= {"box1954theorems", "clopper1934use"}
    assert {line.partition("{")[2][:-1] for line in files["references.bib"].splitlines()
            if line.startswith("@")} == cited  # fmt: skip
    assert list(exhibits.references) == sorted(cited)


def keys_of_tex(text: str) -> list[str]:
    groups = [part.partition("}")[0] for part in text.split(r"\citep{")[1:]]
    return [key for group in groups for key in group.split(",")]


def test_the_paragraph_compiles_with_natbib(grid: StudyResults, tmp_path: Path) -> None:
    for document in methods_exhibits(grid, exhibits_of(grid)).documents:
        (tmp_path / document.name).write_text(document.text)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{natbib,url}"
        r"\begin{document}\input{methods}\input{methods_statistics}\input{methods_diagnostics}\input{methods_software}"
        r"\bibliographystyle{plainnat}"
        r"\bibliography{references}\end{document}"
    )
    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        done = run_tex(tmp_path, "paper", command)
        assert done.returncode == 0, done.stdout[-3000:]
        assert "warning" not in done.stdout.lower() or command == "pdflatex", done.stdout
    assert "undefined" not in done.stdout


def test_text_and_latex_cite_the_same(grid: StudyResults) -> None:
    exhibits = methods_exhibits(grid, exhibits_of(grid))
    files = {document.name: document.text for document in exhibits.documents}
    names = ("", "_statistics", "_diagnostics", "_software")
    parts = [files[f"methods{name}.tex"] for name in names]
    assert [keys_of([sentence]) for sentence in exhibits.sentences] == [
        tuple(sorted(set(keys_of_tex(part)))) for part in parts
    ]
    assert all("\x02" not in text for text in files.values())
    assert as_text("plain") == "plain"
    assert keys_of(["plain"]) == ()


def test_weights_that_runs_start_from_are_said_in_place_of_an_initialisation(
    small: StudyResults,
) -> None:
    drawn = "fan-in initialisation (LeCun et al. 1998; Radford et al. 2019)"
    assert f", {drawn} and" in paragraph(small)
    text = paragraph(from_weights(small, *small.variants))
    assert f", the {TOLD} as initial values and" in text
    assert "initialisation" not in text
    some = paragraph(from_weights(small, small.variants[0]))
    assert f", {drawn} where weights are drawn and" in some


def test_weights_are_a_factor_by_name_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.safetensors"
    path.write_text("weights")
    results = study(tmp_path, {"model.weights": (None, str(path))})
    text = paragraph(results)
    assert f"(weights: drawn, gpt2.safetensors (digest {weights_digest(path)}))" in text
    assert str(path) not in text
