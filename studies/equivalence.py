"""Which configurations are the same model, so that no cell is trained twice.

Each rule reads as: where it applies, these keys take these values; keys that mean nothing there
are named, so that a variant's name and its factor columns leave them out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from studies.configuration import Flat
from studies.schema import DataConfig, ModelConfig, TrainingConfig
from studies.section import Section

SMALL_D_MODEL = 256
"""Below this width `auto` initialisation is `fan_in`: with N(0, .02²) small gated models lose to
ungated ones for that reason alone."""


@dataclass(frozen=True, eq=False)
class Equivalence:
    """A rule: where `applies`, the keys of `canonical` take its values."""

    name: str
    applies: Callable[[Mapping[str, Any]], bool]
    canonical: Mapping[str, Any | Callable[[Mapping[str, Any]], Any]]
    meaningless: frozenset[str] = field(default_factory=frozenset)
    """Keys without meaning where the rule applies."""

    @property
    def is_of_model(self) -> bool:
        """Whether the rule holds because of what the built-in GPT is."""
        return all(key.startswith("model.") for key in self.canonical)

    def apply(self, flat: Flat) -> Flat:
        """The configuration with the rule applied; the same object where nothing changes."""
        if not self.applies(flat):
            return flat
        values = {k: v(flat) if callable(v) else v for k, v in self.canonical.items()}
        return flat if all(flat[k] == v for k, v in values.items()) else {**flat, **values}


@dataclass(frozen=True)
class Canonical:
    """A configuration in its one spelling."""

    flat: Flat
    rules: tuple[Equivalence, ...]
    """Rules that changed something, in order."""
    meaningless: frozenset[str]

    def unsaid(self, factors: Collection[str]) -> frozenset[str]:
        """Factors that a cell's name and columns leave out, since they mean nothing there.

        Without a norm the placement means nothing; but where the norm is no factor, it is the
        placement that says so.
        """
        return self.meaningless - (set() if "model.norm" in factors else {"model.placement"})


def _default(section: type[Section], key: str) -> Any:
    return section.model_fields[key].default


def _no_norm(flat: Mapping[str, Any]) -> bool:
    return bool(flat["model.norm"] == "none")


def _has_weights(flat: Mapping[str, Any]) -> bool:
    return flat["model.weights"] is not None


def _without(key: str, value: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda flat: flat[key] != value


EQUIVALENCES: tuple[Equivalence, ...] = (
    Equivalence(
        "without a placement there is no norm",
        lambda flat: flat["model.placement"] == "none",
        {"model.norm": "none"},
    ),
    Equivalence(
        "no norm has no placement",
        _no_norm,
        {"model.placement": "none"},
        frozenset({"model.placement"}),
    ),
    Equivalence(
        "no norm has no epsilon and no gain",
        lambda flat: _no_norm(flat) and not flat["model.qk_norm"],
        {
            "model.norm_eps": _default(ModelConfig, "norm_eps"),
            "model.norm_affine": _default(ModelConfig, "norm_affine"),
        },
        frozenset({"model.norm_eps", "model.norm_affine"}),
    ),
    Equivalence(
        "DyT has no epsilon",
        lambda flat: flat["model.norm"] == "dyt" and not flat["model.qk_norm"],
        {"model.norm_eps": _default(ModelConfig, "norm_eps")},
        frozenset({"model.norm_eps"}),
    ),
    Equivalence(
        "group norm with one group is layer norm",
        lambda flat: flat["model.norm"] == "group" and flat["model.norm_groups"] == 1,
        {"model.norm": "layer"},
    ),
    Equivalence(
        "group norm has 4 groups unless told",
        lambda flat: flat["model.norm"] == "group" and flat["model.norm_groups"] is None,
        {"model.norm_groups": 4},
    ),
    Equivalence(
        "only group norm has groups",
        _without("model.norm", "group"),
        {"model.norm_groups": None},
        frozenset({"model.norm_groups"}),
    ),
    Equivalence(
        "DyT starts at alpha 1 unless told",
        lambda flat: flat["model.norm"] == "dyt" and flat["model.dyt_alpha"] is None,
        {"model.dyt_alpha": 1.0},
    ),
    Equivalence(
        "only DyT has an alpha",
        _without("model.norm", "dyt"),
        {"model.dyt_alpha": None},
        frozenset({"model.dyt_alpha"}),
    ),
    Equivalence(
        "d_ff is 4 d_model unless told",
        lambda flat: flat["model.d_ff"] is None,
        {"model.d_ff": lambda flat: 4 * flat["model.d_model"]},
    ),
    Equivalence(
        "weights to start from leave nothing to draw",
        _has_weights,
        {
            "model.initialization": _default(ModelConfig, "initialization"),
            "training.initialization_seed": _default(TrainingConfig, "initialization_seed"),
        },
        frozenset({"model.initialization", "training.initialization_seed"}),
    ),
    Equivalence(
        "auto initialisation is fan_in below d_model 256, gpt2 from there on",
        lambda flat: flat["model.initialization"] == "auto" and not _has_weights(flat),
        {
            "model.initialization": lambda flat: (
                "fan_in" if flat["model.d_model"] < SMALL_D_MODEL else "gpt2"
            )
        },
    ),
    Equivalence(
        "BPE has 4096 tokens unless told",
        lambda flat: flat["data.tokenizer"] == "bpe" and flat["data.vocabulary_size"] is None,
        {"data.vocabulary_size": 4096},
    ),
    Equivalence(
        "only BPE has a vocabulary size to choose",
        _without("data.tokenizer", "bpe"),
        {"data.vocabulary_size": None},
        frozenset({"data.vocabulary_size"}),
    ),
    Equivalence(
        "bytes and characters have no token that ends a document",
        lambda flat: flat["data.tokenizer"] in ("bytes", "characters"),
        {"data.end_documents": _default(DataConfig, "end_documents")},
        frozenset({"data.end_documents"}),
    ),
)


def canonicalise(flat: Flat) -> Canonical:
    """Apply the rules until none changes anything.

    What `model` keys mean to a module of one's own only that module knows, so their rules are not
    applied to it.
    """
    own = "module.import_path" in flat
    rules = [r for r in EQUIVALENCES if not (own and r.is_of_model)]
    applied: list[Equivalence] = []
    changed = True
    while changed:
        changed = False
        for rule in rules:
            new = rule.apply(flat)
            if new is not flat:
                flat, changed = new, True
                applied.append(rule)
    meaningless = frozenset[str]().union(*(r.meaningless for r in rules if r.applies(flat)))
    return Canonical(flat, tuple(applied), meaningless)
