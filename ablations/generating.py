"""`ablate generate`: what a trained model makes of a prompt."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ablations.command_adder import CommandAdder
from ablations.console import plain_console
from ablations.run_lookup import FoundRun, find_run
from ablations.trained_runs import trained_attempt
from studies.errors import AblationError
from studies.generation import Sample, Sampling

_ENDED = {
    "end": "the model ended the text",
    "length": "as many as asked for",
    "context": "its context is full",
}


def add_generate(add: CommandAdder) -> None:
    """Add the subcommand."""
    parser = add(
        "generate",
        generate,
        "go on with prompts, by the weights that a run was trained to",
        'ablate generate quickstart/gelu-layer-pre/0 "The statement" --temperature 0',
        study=False,
        run=True,
    )
    parser.add_argument("prompts", nargs="+", metavar="PROMPT", help="a text to go on with")
    for name, field in Sampling.model_fields.items():
        told = f"{field.description} Default: {field.default}."
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=told)
    parser.add_argument("--json", action="store_true", help="print prompts and texts as JSON")


def generate(options: argparse.Namespace) -> int:
    """Go on with prompts and print what comes."""
    sampling = _sampling(options)
    samples = texts_of_run(find_run(options.home, options.run), options.prompts, sampling)
    if options.json:
        print(json.dumps([sample.model_dump() for sample in samples], indent=1))
    else:
        _show(plain_console(), samples)
    return 0


def _sampling(options: argparse.Namespace) -> Sampling:
    given = {name: getattr(options, name) for name in Sampling.model_fields}
    try:
        return Sampling(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = [
            f"--{str(found['loc'][0]).replace('_', '-')} {found['input']}: {found['msg']}"
            for found in error.errors()
        ]
        raise AblationError("; ".join(problems)) from None


def texts_of_run(found: FoundRun, prompts: Sequence[str], sampling: Sampling) -> tuple[Sample, ...]:
    """What a run's model makes of prompts.

    Raises:
        AblationError: the run has no weights, or a prompt cannot be gone on with.
    """
    attempt = trained_attempt(found)
    from lightning_modules.keepsakes import draw_samples, load_trained

    trained = load_trained(found.directory.spec(), attempt.path)
    return draw_samples(trained, [trained.codec.encode(p) for p in prompts], sampling)


def _show(console: Console, samples: Sequence[Sample]) -> None:
    for number, sample in enumerate(samples):
        if number:
            console.print()
        text = Text.assemble((sample.prompt, "bold"), sample.text)
        console.print(text, soft_wrap=True)
        tokens = f"{sample.tokens} {'token' if sample.tokens == 1 else 'tokens'}"
        console.print(Text(f"[{tokens}: {_ENDED[sample.ended]}]", style="dim"))
