"""The papers behind what a report names, and how a sentence cites them.

`references.bib` has every paper that a level, a diagnostic or a method names as its source by
`Level.cite`. A sentence or a caption carries its citations, and what is a formula in LaTeX, as
marks; each writer reads them by `as_tex` or `as_text`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reports.tex import escape
from studies.registry import Level

BIBLIOGRAPHY = Path(__file__).parent / "references.bib"

_OPEN, _CLOSE = "\x02", "\x03"
"""Around the keys of a citation: control characters, which no study file may hold."""
_MARK = re.compile(rf" ?{_OPEN}(.*?){_CLOSE}")
_PLAIN, _TEX, _END = "\x04", "\x05", "\x06"
"""Around what is written in one way as text and in another one in LaTeX."""
_FORMULA = re.compile(rf"{_PLAIN}(.*?){_TEX}(.*?){_END}")
_EITHER = re.compile(f"{_MARK.pattern}|{_FORMULA.pattern}")
_ENTRY = re.compile(r"^@(\w+)\{([\w]+),\n(.*?)\n\}$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)
_PLACES = ("booktitle", "journal", "institution", "publisher", "howpublished")
_ACCENTS = {
    r"{\'a}": "á",
    r"{\'e}": "é",
    r"{\'n}": "ń",
    r"{\"u}": "ü",
    r"{\L}": "Ł",
    r"\&": "&",
}


@dataclass(frozen=True)
class Reference:
    """An entry of the bibliography."""

    key: str
    entry: str
    """As BibTeX reads it."""
    surnames: tuple[str, ...]
    """Of the authors, or the name of a group; `others` at the end for those who are left out."""
    year: str
    title: str
    place: str
    """Journal, proceedings, publisher."""

    @property
    def names(self) -> str:
        """The authors in short: "Holm", "Wu & He", "Ba et al."."""
        first, *others = self.surnames
        if len(others) == 1 and others[0] != "others":
            return f"{first} & {others[0]}"
        return first if not others else f"{first} et al."

    @property
    def short(self) -> str:
        """How a sentence names it: "Holm 1979", "Wu & He 2018", "Ba et al. 2016"."""
        return f"{self.names} {self.year}"

    @property
    def text(self) -> str:
        """The entry in a list: "Holm 1979. A Simple ... . Scandinavian Journal of Statistics."."""
        title = self.title if self.title.endswith("?") else f"{self.title}."
        return f"{self.short}. {title} {self.place}."


@functools.cache
def bibliography() -> Mapping[str, Reference]:
    """Every entry by its key."""
    found = {}
    for match in _ENTRY.finditer(BIBLIOGRAPHY.read_text(encoding="utf-8")):
        fields = dict(_FIELD.findall(match[3]))
        authors = fields["author"].split(" and ")
        place = next(fields[name] for name in _PLACES if name in fields)
        found[match[2]] = Reference(
            key=match[2],
            entry=match[0],
            surnames=tuple(_plain(author.split(",")[0]) for author in authors),
            year=fields["year"],
            title=_plain(fields["title"]),
            place=_plain(place),
        )
    return found


def _plain(text: str) -> str:
    for tex, letter in _ACCENTS.items():
        text = text.replace(tex, letter)
    return text.replace("{", "").replace("}", "")


def cited(level: Level, label: str | None = None) -> str:
    """A level or method with the mark of its citation, if it has a source.

    Args:
        level: what is named.
        label: how it is written here; None is its own label.
    """
    return (level.label if label is None else label) + mark(level.cite)


def mark(keys: str) -> str:
    """The mark of a citation, to stand behind a word; empty without keys."""
    return f" {_OPEN}{keys}{_CLOSE}" if keys else ""


def formula(plain: str, tex: str) -> str:
    """What stands in a text as it is, and in LaTeX as its own code; either may be empty."""
    return f"{_PLAIN}{plain}{_TEX}{tex}{_END}"


def keys_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The keys that texts cite, in the order of the alphabet, each once."""
    return tuple(sorted({key for text in texts for m in _MARK.findall(text) for key in _keys(m)}))


def as_text(text: str) -> str:
    """The text with names and years in brackets: "Holm's test (Holm 1979)"."""
    entries = bibliography()
    text = _FORMULA.sub(lambda m: m[1], text)
    return _MARK.sub(lambda m: f" ({'; '.join(entries[key].short for key in _keys(m[1]))})", text)


def as_tex(text: str) -> str:
    r"""The text in LaTeX, with `\citep` of natbib."""
    found, end = [], 0
    for match in _EITHER.finditer(text):
        keys, _, tex = match.groups()
        cited_ = tex if keys is None else rf"~\citep{{{','.join(_keys(keys))}}}"
        found += [escape(text[end : match.start()]), cited_]
        end = match.end()
    return "".join([*found, escape(text[end:])])


def entries_of(keys: Iterable[str]) -> str:
    """A BibTeX file of some entries."""
    entries = bibliography()
    return "\n\n".join(entries[key].entry for key in keys) + "\n"


def _keys(listed: str) -> list[str]:
    return listed.split(",")
