"""Texts that the variants generated from the same prompts, side by side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.references import cited
from reports.results.frame import StudyResults
from reports.sections.base import Section
from reports.words import ABSENT
from studies.generation import Samples, Sampling
from studies.methods import GENERATION
from studies.records import RunRecord

_SHOWN = {"\n": "↵ ", "\t": " ", "\r": ""}
"""Characters of layout, as a cell of a table shows them."""

Asked = tuple[Sampling, tuple[str, ...]]
"""How texts were drawn, and from which prompts."""


@dataclass(frozen=True)
class Writer:
    """A variant, by one of its runs."""

    label: str
    run: str
    """Key of the run."""
    texts: tuple[str, ...] | None
    """One to each prompt; None where its prompts or draws were others."""


@dataclass(frozen=True)
class SampleTexts:
    """What variants made of the prompts that most of them were given."""

    sampling: Sampling
    prompts: tuple[str, ...]
    writers: tuple[Writer, ...]
    seed: int | None
    """Seed of the runs; None where not all are of one."""
    numbers: pd.DataFrame


def collect(results: StudyResults) -> SampleTexts | None:
    """The samples of the first run of each variant that has some."""
    records = [
        next((r for r in sorted(of, key=lambda r: r.seed) if r.samples), None)
        for of in map(results.records_of, results.variants)
    ]
    found = [record for record in records if record is not None]
    asked = Counter(_asked(r.samples) for r in found if r.samples)
    if not asked:
        return None
    [((sampling, prompts), _)] = asked.most_common(1)
    writers = []
    for record in found:
        assert record.samples is not None
        same = _asked(record.samples) == (sampling, prompts)
        texts = tuple(text.text for text in record.samples.texts) if same else None
        writers.append(Writer(results.labels[record.variant], record.run_key, texts))
    seeds = {record.seed for record in found}
    numbers = pd.DataFrame(_numbers(r) for r in found)
    seed = seeds.pop() if len(seeds) == 1 else None
    return SampleTexts(sampling, prompts, tuple(writers), seed, numbers)


def _numbers(record: RunRecord) -> dict[str, object]:
    """What a run generated, in one row."""
    found: dict[str, object] = {"variant": record.variant, "seed": record.seed}
    for number, text in enumerate(record.samples.texts if record.samples else (), 1):
        found |= {f"{name}_{number}": value for name, value in text.model_dump().items()}
    return found


def _asked(samples: Samples) -> Asked:
    return samples.sampling, tuple(text.prompt for text in samples.texts)


def render(data: SampleTexts) -> Exhibits:
    """One table: a row for each variant, a column for each prompt."""
    width = 0.76 / len(data.prompts)
    columns = (
        Column("Variant", tex=r">{\raggedright\arraybackslash}p{0.17\linewidth}"),
        *(
            Column(
                f"After prompt {number}",
                prompt,
                tex=rf">{{\raggedright\arraybackslash}}p{{{width:.3f}\linewidth}}",
            )
            for number, prompt in enumerate(data.prompts, 1)
        ),
    )
    rows = tuple(
        Row(
            (Cell(writer.label), *_cells(writer, len(data.prompts))),
            gap=bool(n),
            runs=(writer.run,),
        )
        for n, writer in enumerate(data.writers)
    )
    others = sum(writer.texts is None for writer in data.writers)
    left_out = (
        f" {others} of {len(data.writers)} variants had other prompts, or drew otherwise: their "
        "texts are in the table's CSV file." * bool(others)
    )
    prompts = "; ".join(f"({n}) “{shown(prompt)}”" for n, prompt in enumerate(data.prompts, 1))
    of = "the first seed that has some" if data.seed is None else f"seed {data.seed}"
    caption = (
        f"Texts that each variant generated, of {of}. Prompts: {prompts}. {_how(data.sampling)} "
        f"↵ is a new line.{left_out}"
    )
    sentence = "Single texts are to be read, not ranked: nothing in this report follows from them."
    table = Table("samples", caption, columns, rows, data.numbers, tall=True)
    return Exhibits(sentences=(sentence,), tables=(table,))


def _cells(writer: Writer, prompts: int) -> tuple[Cell, ...]:
    texts = [ABSENT] * prompts if writer.texts is None else writer.texts
    return tuple(Cell(shown(text)) for text in texts)


def shown(text: str) -> str:
    """A text on one line, without what cannot be printed."""
    marked = (_SHOWN.get(c, c if c.isprintable() else "\ufffd") for c in text)
    return "".join(marked)


def _how(sampling: Sampling) -> str:
    """How tokens were drawn, in a sentence."""
    length = f"at most {sampling.max_new_tokens} tokens"
    if sampling.temperature == 0:
        return f"The likeliest token is always taken; {length}, as far as the context reaches."
    limits = []
    if sampling.top_k is not None:
        limits.append(cited(GENERATION["top_k"], f"the {sampling.top_k} likeliest tokens"))
    if sampling.top_p is not None:
        told = f"the likeliest tokens up to probability {sampling.top_p:g}"
        limits.append(cited(GENERATION["top_p"], told))
    among = f" among {' and '.join(limits)}" if limits else ""
    return (
        f"Tokens are drawn{among} at temperature {sampling.temperature:g}, seed {sampling.seed}; "
        f"{length}, as far as the context reaches."
    )


SECTION = Section("Generated text", collect, render, absent="")
