"""What differs between the protocols of studies; what does not is one sentence."""

from __future__ import annotations

import pandas as pd

from reports.analysis.joined.protocol import RECORDED, ProtocolDifferences, Setting
from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.results.joined import legend
from reports.tex import escape
from reports.words import (
    any_of,
    plural,
)

NAMED_IF_EQUAL = (
    "data.corpus", "data.tokenizer", "model.context_length", "model.n_layers", "model.d_model",
    "training.max_steps", "training.batch_size", "training.learning_rate", "seeds",
    "training.precision", "device", "host", "git.commit", "evaluation_set",
)  # fmt: skip
"""Settings that the sentence on what is equal names with their values."""
COMMIT_LETTERS = 12
"""Of a commit that are shown."""
BREAKABLE = "/_.-+"
"""Characters behind which LaTeX may break a long word."""


def render(data: ProtocolDifferences) -> Exhibits:
    """The table of what differs, and sentences on the rest."""
    return Exhibits(sentences=_sentences(data), tables=(_table(data),) if data.different else ())


def _sentences(data: ProtocolDifferences) -> tuple[str, ...]:
    found = [_equal(data)]
    if not data.different:
        found.insert(0, "No setting differs between the studies.")
    if data.unrecorded:
        found.append(
            f"No run of {any_of(data.unrecorded, 'and')} has a record yet: what such runs ran on, "
            "and their evaluation set, are not known."
        )
    return tuple(found)


def _equal(data: ProtocolDifferences) -> str:
    named = [setting for setting in data.equal if setting.key in NAMED_IF_EQUAL]
    if not data.equal:
        return "No setting is equal in all studies."
    listed = "; ".join(f"{setting.name} {_shown(setting.values[0], setting)}" for setting in named)
    rest = len(data.equal) - len(named)
    if not named:
        return f"Equal in all studies: {plural(rest, 'setting')}, listed at the end."
    more = f" and {plural(rest, 'setting')} more, listed at the end" if rest else ""
    return f"Equal in all studies: {listed}{more}."


def _table(data: ProtocolDifferences) -> Table:
    width = 0.68 / len(data.letters) - 0.02  # less the space between columns
    column = rf">{{\raggedright\arraybackslash}}p{{{width:.3f}\linewidth}}"
    recorded = " Recorded: by the runs that have ended." if any(
        setting.part == RECORDED for setting in data.different
    ) else ""  # fmt: skip
    return Table(
        name="protocols",
        caption=(
            "Every setting that differs between the studies "
            f"({legend(data.letters, data.studies)}); several values are those of different cells "
            f"or runs.{recorded}"
        ),
        columns=(
            Column("Part", "section of the study file, or `recorded`"),
            Column("Setting", "key of the section", tex=r"p{.16\linewidth}"),
            *(Column(letter, name, tex=column)
              for letter, name in zip(data.letters, data.studies, strict=True)),
        ),
        rows=tuple(_row(setting, data) for setting in data.different),
        data=pd.DataFrame(
            [
                {"part": setting.part, "setting": setting.key}
                | dict(zip(data.letters, setting.values, strict=True))
                for setting in data.different
            ]
        ),
        named_by=2,
    )  # fmt: skip


def _row(setting: Setting, data: ProtocolDifferences) -> Row:
    return Row(
        (
            Cell(setting.part),
            Cell(setting.name, detail=setting.key if "." in setting.key else ""),
            *(_cell(_shown(value, setting)) for value in setting.values),
        ),
        runs=data.runs if setting.part == RECORDED else (),
    )


def _shown(value: str, setting: Setting) -> str:
    """A value as it is read; a commit by its beginning."""
    return value[:COMMIT_LETTERS] if setting.key == "git.commit" and "," not in value else value


def _cell(text: str) -> Cell:
    return Cell(text, tex=breakable(text))


def breakable(text: str) -> str:
    """Text in LaTeX whose long words may be broken."""
    return "".join(escape(c) + (r"\allowbreak{}" if c in BREAKABLE else "") for c in text)
