"""What must hold between several settings; checked for every cell before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from studies.vocabulary import BATCH_NORMS

MIN_GROUP_SIZE = 8
"""Smallest number of channels whose variance is worth dividing by."""


class Violation(NamedTuple):
    """A value that breaks a rule, and what could stand there."""

    value: object
    allowed: str


@dataclass(frozen=True)
class Rule:
    """A relation between settings that a study can break."""

    keys: tuple[str, ...]
    """Settings that it reads, None where a study has no such key; the first one is reported."""
    broken: Callable[..., bool]
    """Takes the values of `keys`."""
    allowed: Callable[..., str]
    remedy: str

    @property
    def is_of_gpt(self) -> bool:
        """Whether it is about parts of the built-in GPT alone."""
        return self.keys[0].startswith("model.") and "module.import_path" not in self.keys

    def check(self, flat: Mapping[str, Any]) -> Violation | None:
        """What breaks this rule in a configuration, if anything."""
        values = [flat.get(key) for key in self.keys]
        if not self.broken(*values):
            return None
        context = ", ".join(f"{k} = {v!r}" for k, v in zip(self.keys[1:], values[1:], strict=True))
        return Violation(values[0], f"{self.allowed(*values)} (with {context})")


def _divisors(number: int, at_most: int | None = None) -> str:
    return ", ".join(
        str(n) for n in range(1, number + 1) if number % n == 0 and n <= (at_most or number)
    )


def _is_hub(corpus: str) -> bool:
    return corpus.startswith("hub:")


RULES: tuple[Rule, ...] = (
    Rule(
        ("model.n_heads", "model.d_model"),
        lambda heads, width: width % heads != 0,
        lambda heads, width: f"a divisor of d_model: {_divisors(width)}",
        "change n_heads or d_model",
    ),
    Rule(
        ("model.position", "model.d_model", "model.n_heads"),
        lambda position, width, heads: (
            position == "rope" and width % heads == 0 and width // heads % 2 == 1
        ),
        lambda *_: "rope needs an even number of channels per head",
        "change n_heads or d_model so that d_model / n_heads is even",
    ),
    Rule(
        ("model.norm_groups", "model.norm", "model.d_model"),
        lambda groups, norm, width: norm == "group" and width % (groups or 4) != 0,
        lambda groups, norm, width: f"a divisor of d_model: {_divisors(width)}",
        "change norm_groups or d_model",
    ),
    Rule(
        ("model.norm_groups", "model.norm", "model.d_model"),
        lambda groups, norm, width: (
            norm == "group"
            and width % (groups or 4) == 0
            and width // (groups or 4) < MIN_GROUP_SIZE
        ),
        lambda groups, norm, width: (
            f"groups of at least {MIN_GROUP_SIZE} channels: {_divisors(width, width // 8)}"
        ),
        "use fewer groups or a wider model",
    ),
    Rule(
        ("model.weights", "module.import_path"),
        lambda weights, import_path: weights is not None and import_path is not None,
        lambda *_: "null, since only the built-in GPT knows the names in such a file",
        "remove weights, and let the module load them itself",
    ),
    Rule(
        ("training.accumulate", "training.batch_size"),
        lambda accumulate, batch: batch % accumulate != 0,
        lambda accumulate, batch: f"a divisor of batch_size: {_divisors(batch)}",
        "change accumulate or batch_size",
    ),
    Rule(
        ("training.batch_size", "training.accumulate", "model.norm"),
        lambda batch, accumulate, norm: norm == "batch_position" and batch // accumulate < 2,
        lambda batch, accumulate, norm: (
            f"at least {2 * accumulate}: batch_position norm needs two sequences per micro-batch"
        ),
        "raise batch_size or lower accumulate",
    ),
    Rule(
        ("training.batch_size", "training.accumulate", "execution.devices"),
        lambda batch, accumulate, devices: (
            batch % accumulate == 0 and batch % (accumulate * (devices or 1)) != 0
        ),
        lambda batch, accumulate, devices: (
            f"a multiple of {accumulate * devices}: each device has an equal share of a micro-batch"
        ),
        "change batch_size, accumulate or execution.devices",
    ),
    Rule(
        ("training.warmup_steps", "training.max_steps"),
        lambda warmup, steps: warmup > steps,
        lambda warmup, steps: f"0 to max_steps ({steps})",
        "shorten the warm-up or train longer",
    ),
    Rule(
        ("data.subset", "data.corpus"),
        lambda subset, corpus: subset is not None and not _is_hub(corpus),
        lambda *_: "null, since only hub data sets have subsets",
        "remove subset, or name a hub data set as hub:NAMESPACE/NAME",
    ),
    Rule(
        ("data.revision", "data.corpus"),
        lambda revision, corpus: revision is not None and not _is_hub(corpus),
        lambda *_: "null, since only hub data sets have revisions",
        "remove revision, or name a hub data set as hub:NAMESPACE/NAME",
    ),
    Rule(
        ("diagnostics.every_steps", "diagnostics.enabled"),
        lambda cadences, enabled: not set(cadences) <= set(enabled),
        lambda cadences, enabled: f"names of enabled diagnostics: {', '.join(enabled) or 'none'}",
        "enable the diagnostic, or remove its cadence",
    ),
    Rule(
        ("diagnostics.modules", "module.import_path"),
        lambda modules, import_path: bool(modules) and import_path is None,
        lambda *_: "empty, since the roles of the built-in GPT's modules are known",
        "remove modules, or give a module of your own",
    ),
    Rule(
        (
            "diagnostics.probe_tokens",
            "model.norm",
            "model.context_length",
            "diagnostics.enabled",
            "module.import_path",
        ),
        lambda tokens, norm, length, enabled, import_path: (
            import_path is None
            and norm in BATCH_NORMS
            and "batch_norm" in enabled
            and tokens < 2 * length
        ),
        lambda tokens, norm, length, *_: (
            f"at least {2 * length}: two sequences, whose statistics batch norm is held against"
        ),
        "raise probe_tokens, or do not enable batch_norm",
    ),
)
