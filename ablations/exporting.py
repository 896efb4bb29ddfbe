"""`ablate export`: a run's model as a folder that the `transformers` library loads."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ablations.command_adder import CommandAdder
from ablations.console import plain_console
from ablations.numerals import significant
from ablations.run_lookup import FoundRun, find_run
from ablations.trained_runs import trained_attempt
from lightning_modules.checkpoints import TOKENIZER
from studies.content import weights_text
from studies.errors import AblationError
from studies.metrics import (
    FINAL_BITS_PER_BYTE,
    FINAL_LOSS,
    FINAL_PERPLEXITY,
    METRICS,
    PARAMETERS,
    STEPS,
)
from studies.records import Outcome, RunRecord
from studies.run_spec import RunSpec

CARD = "README.md"
_SHOWN = (FINAL_LOSS, FINAL_PERPLEXITY, FINAL_BITS_PER_BYTE)
CONFIDENCE = 0.95


def add_export(add: CommandAdder) -> None:
    """Add the subcommand."""
    parser = add(
        "export",
        export,
        "write a run's model as a folder that Hugging Face `transformers` loads",
        "ablate export my-study/llama/0 my-llama",
        study=False,
        run=True,
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        help="folder to write, which must not exist (default: HOME/exports/STUDY-VARIANT-SEED)",
    )


def export(options: argparse.Namespace) -> int:
    """Write config, weights, tokeniser and model card, all of it or nothing."""
    found = find_run(options.home, options.run)
    default = options.home / "exports" / _name(found).replace("/", "-")
    folder: Path = options.folder or default
    if folder.exists():
        raise AblationError(f"{folder} exists: remove it, or name another folder")
    written = write_export(found, folder)
    console = plain_console()
    console.print(f"{written} in {folder}: config, weights, tokeniser, {CARD}", soft_wrap=True)
    load = f'AutoModelForCausalLM.from_pretrained("{folder}")'
    console.print(f"load it with transformers: {load}", soft_wrap=True)
    return 0


def write_export(found: FoundRun, folder: Path) -> str:
    """Write the folder; returns the class of the library that loads it.

    Raises:
        AblationError: the run has no weights, or its variant is no architecture of the library.
    """
    attempt = trained_attempt(found)
    spec = found.directory.spec()
    if spec.module is not None:
        raise AblationError(
            f"run {found.name} trained a module of your own, {spec.module.import_path}: only the "
            "built-in GPT can be one of the architectures of `transformers`"
        )
    from lightning_modules.hugging_face.architectures import require_architecture
    from lightning_modules.hugging_face.export import write_model
    from lightning_modules.keepsakes import load_trained
    from lightning_modules.language_model import LanguageModel

    remedy = "`ablate generate` reads its weights as they are."
    architecture = require_architecture(spec.model, remedy)
    trained = load_trained(spec, attempt.path)
    assert isinstance(trained.module, LanguageModel)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        model, tokenizer = trained.module.model, attempt.path / TOKENIZER
        write_model(model, architecture, trained.codec, tokenizer, scratch)
        card = model_card(found, spec, architecture.class_name)
        (scratch / CARD).write_text(card, encoding="utf-8")
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return architecture.class_name


def model_card(found: FoundRun, spec: RunSpec, class_name: str) -> str:
    """What the model is, how it was trained, and how well it does, with intervals over seeds."""
    record = found.directory.record()
    assert record is not None
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "---",
            "",
            f"# {_name(found)}",
            "",
            f"A {class_name} of {significant(record.summary[PARAMETERS])} parameters, one run of "
            f"the ablation study `{record.study}`: variant `{record.variant}`, seed {record.seed}, "
            f"run key `{record.run_key}`. It was trained to compare variants, and is fit for no "
            "other use that nobody has tested it for.",
            "",
            "## Training",
            "",
            *_training(record, spec),
            "",
            "## Results",
            "",
            *_results(found, record),
            "",
            "## Configuration",
            "",
            "```json",
            json.dumps(spec.model_dump(mode="json"), indent=1),
            "```",
            "",
        ]
    )


def _training(record: RunRecord, spec: RunSpec) -> Iterator[str]:
    steps, length = record.summary[STEPS], spec.model.context_length
    tokens = steps * spec.training.batch_size * length
    git = record.provenance.get("git") or {}
    yield f"- text: {Path(spec.data.corpus).name} (digest `{spec.data.corpus_digest}`)"
    yield f"- tokeniser: {Path(spec.data.tokenizer).name}, {record.facts['vocabulary_size']} tokens"
    if spec.model.weights is not None:
        given = weights_text(spec.model.weights, spec.model.weights_digest)
        yield f"- training started from the {given}"
    yield f"- {significant(steps)} steps of {spec.training.batch_size} × {length} tokens" + (
        f", {significant(tokens)} in all"
    )
    yield f"- device: {record.facts.get('device')}, precision {spec.training.precision}"
    yield f"- commit of the harness: {git.get('commit') or 'not known'}"


def _results(found: FoundRun, record: RunRecord) -> Iterator[str]:
    siblings = _siblings(found, record)
    yield (
        "On held-out text, at the last step, without any selection. Mean and 95 % t interval are "
        f"over the seeds of this variant that completed: {len(siblings)}."
    )
    yield ""
    yield "| metric | unit | this run | mean over seeds | 95 % interval |"
    yield "|---|---|---|---|---|"
    for name in _SHOWN:
        if name in record.summary:
            metric, own = METRICS[name], significant(record.summary[name], 4)
            yield f"| {metric.label} | {metric.unit} | {own} | {_over_seeds(siblings, name)} |"


def _over_seeds(records: list[RunRecord], name: str) -> str:
    from reports.analysis.statistics import summarize, t_quantile  # scipy takes a second

    values = [record.summary[name] for record in records if name in record.summary]
    n, mean, _, standard_error = summarize(values)
    half = t_quantile(n, CONFIDENCE) * standard_error
    if not math.isfinite(half):
        return f"{significant(mean, 4)} | one seed: no interval"
    return (
        f"{significant(mean, 4)} | {significant(mean - half, 4)} to {significant(mean + half, 4)}"
    )


def _siblings(found: FoundRun, record: RunRecord) -> list[RunRecord]:
    """Completed runs that differ in nothing but the seed."""
    if found.plan is None or found.planned is None or found.study is None:
        return [record]
    own = found.planned
    runs = [
        run
        for run in found.plan.runs
        if (run.variant, run.settings, run.stage) == (own.variant, own.settings, own.stage)
    ]
    records = [found.study.run(run.run_key).record() for run in runs]
    return [r for r in records if r is not None and r.outcome is Outcome.COMPLETED]


def _name(found: FoundRun) -> str:
    """STUDY/VARIANT/SEED, or what the folder of a run outside any study is called."""
    return found.name if found.planned is not None else found.directory.run_key
