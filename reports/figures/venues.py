"""Widths of the text and of a column, by the venue that a paper is written for."""

from __future__ import annotations

from dataclasses import dataclass

from studies.registry import Registry


@dataclass(frozen=True)
class Venue:
    """The measures of a style file, in inches."""

    text_width_in: float
    column_width_in: float
    """Of one of two columns; the text width where there is one."""

    @property
    def has_two_columns(self) -> bool:
        """Whether tables and figures of text width go over both columns."""
        return self.column_width_in < self.text_width_in

    def width_in(self, *, wide: bool) -> float:
        """Of a figure over the text, or in a column."""
        return self.text_width_in if wide else self.column_width_in


VENUES: Registry[Venue] = Registry(
    "venue",
    {
        "neurips": Venue(5.5, 5.5),
        "iclr": Venue(5.5, 5.5),
        "icml": Venue(6.75, 3.25),
        "acl": Venue(6.3, 3.03),
        "tmlr": Venue(6.5, 6.5),
    },
)
"""Sources: the style files; ACL columns are 7.7 cm with a gap of .6 cm."""
DEFAULT_VENUE = "neurips"
