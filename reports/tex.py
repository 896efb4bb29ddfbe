"""Plain text as LaTeX, for tables, documents and figures alike."""

from __future__ import annotations

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "²": r"\textsuperscript{2}",
    "₁": r"\textsubscript{1}",
    "₂": r"\textsubscript{2}",
    "β": r"$\beta$",
    "ρ": r"$\rho$",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "↵": r"$\hookleftarrow$",
    "\ufffd": r"{\tiny$\Box$}",
    "†": r"\textsuperscript{\dag}",
    "‡": r"\textsuperscript{\ddag}",
    "\u202f": r"\,",
    "\u00a0": "~",
}
"""Characters that LaTeX reads as commands or cannot set, and what sets them."""


def escape(text: str) -> str:
    """Plain text as LaTeX. A character that pdflatex may not know is shown by its code point."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character in "\n\r\t":
        return " "
    if " " <= character <= "~" or "¡" <= character <= "ſ":
        return character
    return f"[U+{ord(character):04X}]"
