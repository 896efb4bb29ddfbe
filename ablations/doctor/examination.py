"""Making the checks: each with a time-out, and none of them ends the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ablations.doctor.findings import Finding, Mark, problem
from ablations.doctor.registry import CHECKS, Check
from ablations.doctor.situation import Situation
from ablations.redaction import redacted
from studies.errors import AblationError


@dataclass(frozen=True)
class Examined:
    """A check that was made."""

    check: Check
    findings: tuple[Finding, ...]
    left_out: bool = False
    """Whether it was not made: it makes no sense after a problem that another found."""

    @property
    def is_bad(self) -> bool:
        """Whether it found a problem."""
        return any(finding.mark is Mark.PROBLEM for finding in self.findings)


def examine(situation: Situation, on_check: Callable[[str], None]) -> Iterator[Examined]:
    """Make all checks, one after the other; `on_check` is told which one comes next."""
    bad: set[str] = set()
    for name, check in CHECKS.items():
        on_check(f"{check.group}: {name}")
        if check.after in bad:
            bad.add(name)
            yield Examined(check, (), left_out=True)
            continue
        findings = (_without_secrets(finding) for finding in _findings(name, check, situation))
        examined = Examined(check, tuple(findings))
        if examined.is_bad:
            bad.add(name)
        yield examined


def _findings(name: str, check: Check, situation: Situation) -> list[Finding]:
    """What a check finds, in a thread that is left behind when it hangs."""
    found: list[Finding] = []
    raised: list[Exception] = []

    def look() -> None:
        try:
            found.extend(check.look(situation))
        except Exception as error:  # a check that fails is a finding, and the others go on
            raised.append(error)

    thread = threading.Thread(target=look, name=f"doctor-{name}", daemon=True)
    thread.start()
    thread.join(check.limit_s)
    if thread.is_alive():
        words = f"no answer within {check.limit_s:.0f} s"
        return [*found, problem(name, words, "Something hangs: a file system or a network?")]
    return found + [_failed(name, error) for error in raised]


def _failed(name: str, error: Exception) -> Finding:
    if isinstance(error, AblationError):
        return problem(name, *_split(str(error)))
    text = str(error).strip().splitlines() or ["without a word"]
    words = f"{type(error).__name__}: {text[0][:300]}"
    return problem(name, words, "The check itself failed where it should not.")


def _split(text: str) -> tuple[str, str]:
    """What is wrong, and what to do, of an error that says both."""
    found, _, remedy = text.replace("\n", " ").partition(". ")
    return found, remedy or "Mend that, and look again."


def _without_secrets(finding: Finding) -> Finding:
    texts = (redacted(text) for text in (finding.subject, finding.found, finding.remedy))
    return Finding(finding.mark, *texts)
