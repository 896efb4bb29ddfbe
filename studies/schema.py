"""Everything that a study file may say, with defaults; every section is frozen once built.

The docstring under a field is its reference documentation (`docs/study-file.md` is made of them).
Rules that tie several fields together are in `studies/rules.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from studies.design_kinds import Design, Exclusion, FullFactorial
from studies.diagnostics import DEFAULT_DIAGNOSTICS
from studies.execution import ExecutionConfig
from studies.finetuning import FinetuningConfig, FinetuningSettings
from studies.generation import SamplesConfig
from studies.hypotheses import Hypothesis, HypothesisName
from studies.protocol import Protocol
from studies.report import ReportConfig
from studies.section import Section, Settings
from studies.values import Scalar, Seed, Slug, different, level_of

MAX_SEEDS = 1000


class ModelConfig(Settings):
    """The GPT that is built: sizes and parts."""

    n_layers: int = Field(4, ge=1)
    """Number of blocks."""
    n_heads: int = Field(4, ge=1)
    """Attention heads per block; divides `d_model`."""
    d_model: int = Field(128, ge=8, le=2**17)
    """Width of the residual stream."""
    d_ff: int | None = Field(None, ge=1)
    """Hidden width of an ungated feed-forward; null is 4 d_model. A gated one, which has a matrix
    more, gets what `protocol.match` says: 2/3 of it keeps the parameters (Shazeer 2020)."""
    context_length: int = Field(64, ge=2)
    """Tokens that the model sees at once (T)."""
    activation: Annotated[str, level_of("model.activation")] = "gelu"
    """Non-linearity of the feed-forward."""
    norm: Annotated[str, level_of("model.norm")] = "layer"
    """Normalisation layer."""
    norm_groups: int | None = Field(None, ge=1)
    """Groups of channels of `group` norm; null is 4. Meaningless for the other norms."""
    norm_eps: float = Field(1e-5, gt=0)
    """Added to each variance, the same for every norm of a study."""
    norm_affine: bool = True
    """Whether norms learn a gain (and a bias, with `bias`)."""
    placement: Annotated[str, level_of("model.placement")] = "pre"
    """Where the norms stand around a sub-layer."""
    position: Annotated[str, level_of("model.position")] = "learned"
    """How the model knows the order of tokens."""
    qk_norm: bool = False
    """LayerNorm on queries and keys, per head, gain shared by the heads (Dehghani et al. 2023)."""
    tied_head: bool = True
    """Whether the output head shares the token embedding."""
    bias: bool = False
    """Whether linear layers and norms have a bias."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on embeddings, attention weights and sub-layer outputs."""
    initialization: Annotated[str, level_of("model.initialization")] = "auto"
    """How weights are drawn; always recorded as resolved."""
    dyt_alpha: float | None = Field(None, gt=0)
    """Initial alpha of `dyt`; null is 1, the value that Zhu et al. 2025 give for width 1024.
    Meaningless for the other norms."""
    weights: str | None = None
    """Weights that a run starts from, in the layout of Hugging Face `transformers`: a path to a
    `*.safetensors` file, or to a folder with `model.safetensors`, whose `config.json` is then held
    against the model. They fix the vocabulary: give their `tokenizer.json` as `data.tokenizer`.
    Null draws them as `initialization` says."""
    weights_digest: str | None = None
    """Digest of the weights, as `data.corpus_digest`; always of the whole file."""


class DataConfig(Settings):
    """The text, how it becomes tokens, and what is held out."""

    corpus: str = "python-docs"
    """`python-docs` or `python-stdlib` (from the running interpreter, no network), a path to a
    text, jsonl or parquet file or folder, or `hub:NAMESPACE/NAME` for a Hugging Face data set."""
    corpus_digest: str | None = None
    """Digest of the corpus, filled in when the study is planned: a changed text is another run.
    Give it to refuse any other content."""
    subset: str | None = None
    """Configuration name of a hub data set."""
    revision: str | None = None
    """Git revision of a hub data set; pin it, or the data may change under the study."""
    text_column: str = "text"
    """Column that holds the text in jsonl, parquet and hub data."""
    tokenizer: str = "bytes"
    """`bytes`, `characters`, `bpe` (trained on the training split), or a path to a saved
    `tokenizer.json`."""
    tokenizer_digest: str | None = None
    """Digest of a saved tokeniser's file, as `corpus_digest`."""
    vocabulary_size: int | None = Field(None, ge=260)
    """Size of a trained BPE vocabulary: 256 bytes, the merges, and the reserved tokens `<start>`,
    `<delimiter>` and `<end>`. Null is 4096. Meaningless otherwise."""
    end_documents: bool = True
    """Whether `<end>` follows each document (a file, or a row of a table), where the tokeniser
    has that token: false for a corpus whose rows are lines. Meaningless for bytes and
    characters."""
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the text, at its end, that is held out. A hub data set with a validation split
    uses that split instead."""
    evaluation_tokens: int = Field(16384, ge=64)
    """Tokens of the fixed evaluation set, drawn evenly from the held-out text."""


class TrainingConfig(Settings):
    """Optimisation: AdamW, linear warm-up, cosine decay, and the budget."""

    max_steps: int = Field(1000, ge=1)
    """Optimiser steps."""
    max_minutes: float | None = Field(None, gt=0)
    """Minutes of training (evaluations, diagnostics and checkpoints left out; compilation counts)
    after which the run ends, and over which the learning rate decays; null is `max_steps` steps.
    Set by `protocol.budget.minutes` alone, which makes of `max_steps` a bound that no run meets."""
    batch_size: int = Field(16, ge=1, le=2**20)
    """Sequences per optimiser step, over all devices and accumulated micro-batches."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches per optimiser step; divides `batch_size`."""
    learning_rate: float = Field(1e-3, ge=0)
    """Peak learning rate."""
    final_learning_rate_fraction: float = Field(0.1, ge=0, le=1)
    """Learning rate at the last step, as a share of the peak; 1 keeps it constant."""
    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warm-up."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay of the parameters whose role decays."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW first-moment decay."""
    beta2: float = Field(0.99, ge=0, lt=1)
    """AdamW second-moment decay."""
    adam_eps: float = Field(1e-8, gt=0)
    """AdamW epsilon."""
    gradient_clip_norm: float | None = Field(1.0, gt=0)
    """Global gradient norm above which gradients are scaled down; null does not clip."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"] = "32-true"
    """Lightning precision."""
    compile: bool = False
    """Whether training steps run through `torch.compile`."""
    early_step_fraction: float = Field(0.125, gt=0, lt=1)
    """Where the early loss is taken, as a share of steps or minutes (Narang et al. 2021: 1/8)."""
    initialization_seed: Seed | None = None
    """Seed of the initial weights; null is the run's seed. Setting one of these three keeps one
    source of variation still while `seeds` moves the others; as factors they are varied apart.
    Where nothing is left to the run's seed, `seeds` must be 1."""
    data_seed: Seed | None = None
    """Seed of the order of the training data; null is the run's seed."""
    dropout_seed: Seed | None = None
    """Seed of dropout, and of other draws in training steps; null is the run's seed."""
    divergence_factor: float = Field(3.0, gt=1)
    """A training loss above this multiple of ln V, or a non-finite one, ends the run as
    diverged."""


class DiagnosticsConfig(Settings):
    """What is measured while a run trains, and how often."""

    log_every_steps: int = Field(10, ge=1)
    """Steps between records of training loss and learning rate, and between looks of the
    diagnostics of cost class `step`."""
    evaluate_every_steps: int = Field(250, ge=1)
    """Steps between evaluations on the fixed evaluation set."""
    probe_every_steps: int = Field(100, ge=1)
    """Steps between looks of the diagnostics of cost class `probe`."""
    rare_every_steps: int | None = Field(None, ge=1)
    """Steps between looks of the diagnostics of cost class `rare`; null is a fifth of
    the steps or minutes of a run."""
    probe_tokens: int = Field(1024, ge=16)
    """Tokens of the fixed, held-out probe batch."""
    target_loss: float | None = Field(None, gt=0)
    """Validation loss, nats per token, whose first reaching is recorded for every run; null is the
    entropy of the training text's token frequencies, the best loss without any context."""
    enabled: Annotated[
        tuple[Annotated[str, level_of("diagnostics.enabled")], ...], AfterValidator(different)
    ] = DEFAULT_DIAGNOSTICS
    """Diagnostics by name, each once."""
    every_steps: dict[
        Annotated[str, level_of("diagnostics.every_steps")], Annotated[int, Field(ge=1)]
    ] = Field(default_factory=dict)
    """Cadence of single diagnostics by name, in place of that of their cost class."""
    modules: dict[Annotated[str, level_of("diagnostics.modules")], str] = Field(
        default_factory=dict
    )
    """For a module of one's own: role to a pattern of sub-module names, such as
    `block: encoder.layers.*`, where * stands for one part of a name."""


class CustomModule(Section):
    """A LightningModule of one's own in place of the built-in GPT."""

    import_path: Annotated[
        str, StringConstraints(pattern=r"^([A-Za-z_][\w.]*|[^:\n]+\.py):[A-Za-z_]\w*$")
    ]
    """`package.module:Class`, or `path/to/file.py:Class` (relative to the study file)."""
    source_digest: str | None = None
    """Digest of the file of a `.py` import path, filled in when the study is read: a changed module
    is another run."""
    arguments: dict[str, Scalar] = Field(default_factory=dict)
    """Constructor arguments; those that are not given are taken from the configuration keys of
    the same name."""


class Study(Section):
    """One question and the runs that answer it."""

    name: Slug
    """Name of the study, of its folder and of its MLflow experiment."""
    question: str = ""
    """What the study asks, in a sentence; printed in the report."""
    preset: Annotated[str, level_of("preset")] | None = None
    """Model that the study starts from: its file gives each key of `model`, `data`, `training` and
    `diagnostics` that the study leaves out."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    diagnostics: DiagnosticsConfig = Field(default_factory=DiagnosticsConfig)
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)
    module: CustomModule | None = None
    factors: dict[str, tuple[Scalar, ...]] = Field(default_factory=dict)
    """Configuration key to the levels that it takes. An empty mapping is a study of one cell."""
    design: Design = Field(default_factory=FullFactorial)
    """How levels are combined: `full_factorial`, or a mapping with a `kind` and its own keys."""
    exclude: tuple[Exclusion, ...] = ()
    """Combinations that are left out: each a mapping with `when` and `because`."""
    seeds: Annotated[tuple[Seed, ...], AfterValidator(different)] = Field(
        (0, 1, 2, 3, 4), min_length=1, max_length=MAX_SEEDS
    )
    """Seeds, paired over the variants; a number n stands for 0 to n-1."""
    protocol: Protocol = Field(default_factory=Protocol)
    finetuning: FinetuningConfig = Field(default_factory=FinetuningConfig)
    hypotheses: dict[HypothesisName, Hypothesis] = Field(default_factory=dict)
    """What is expected to be found, by name, said before anything is run: the first `ablate run`
    registers it, and the report tells it apart from what was added or changed afterwards."""
    samples: SamplesConfig = Field(default_factory=SamplesConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    def base(self) -> dict[str, Any]:
        """The run configuration before factors are applied: section to key to value."""
        sections = {name: getattr(self, name).model_dump(mode="json") for name in RUN_SECTIONS}
        sections["finetuning"] = self.finetuning.settings.model_dump(mode="json")
        sections["module"] = self.module.model_dump() if self.module else None
        return sections


RUN_SECTIONS: dict[str, type[Section]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "diagnostics": DiagnosticsConfig,
    "finetuning": FinetuningSettings,
}
"""Sections that make up a run's identity, and that factors may vary."""


def field_of(key: str) -> tuple[type[Section], str] | None:
    """The section class and field that a dotted key such as `model.norm` names, if it does."""
    section, _, name = key.partition(".")
    if section in RUN_SECTIONS and name in RUN_SECTIONS[section].model_fields:
        return RUN_SECTIONS[section], name
    return None


def factor_keys() -> list[str]:
    """Every configuration key that can be a factor (`module.arguments.*` comes on top)."""
    return [f"{s}.{name}" for s, cls in RUN_SECTIONS.items() for name in cls.model_fields]
