"""The tasks that a model is fine-tuned on: texts, labels and a score, wherever the files lie.

Those that come with the package have a file each in `studies/tasks/`, which gives every key but
`source`.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from studies.registry import Level, Registry
from studies.section import Settings
from studies.values import different

Form = Literal["classification", "entailment", "similarity", "multiple_choice"]

Score = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]

TableFormat = Literal["tsv", "csv", "jsonl", "parquet", "mctest"]

OF_NUMBERS: tuple[Score, ...] = ("pearson", "spearman")
"""Scores of a task whose labels are numbers."""

TEXTS_OF_FORM = {"classification": 1, "entailment": 2, "similarity": 2}
"""Columns with text that a form needs; multiple choice takes one or more."""

HUB = "hub:"


def _as_text(value: object) -> object:
    """Labels and columns may be written as numbers."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


Name = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]
Names = Annotated[tuple[Name, ...], AfterValidator(different)]


class Task(Settings):
    """A labelled data set, and how a model is scored on it."""

    form: Form
    """What the model reads: `classification` one text; `entailment` a premise, a delimiter and a
    hypothesis; `similarity` two texts in both orders, whose representations are added;
    `multiple_choice` the context with each answer, of which a softmax takes one. Source: Radford et
    al. 2018, figure 1."""
    source: str
    """Folder of the files, relative to the study file, or `hub:NAMESPACE/NAME`."""
    source_digest: str | None = None
    """Digest of the files, filled in when the study is planned: changed files are another run."""
    subset: str | None = None
    """Configuration name of a hub data set."""
    revision: str | None = None
    """Git revision of a hub data set; pin it, or the data may change under the study."""
    train: str
    """File in the folder, or split of the hub data set, that is trained on."""
    evaluation: str
    """File or split that the score is taken on, once, at the end: nothing is selected by it."""
    format: TableFormat | None = None
    """Format of the files; null is what their suffix says. Fields of a `tsv` are never quoted,
    those of a `csv` may be; `mctest` is MCTest's own, with an .ans file beside each .tsv."""
    header: bool = True
    """Whether the first row of a tsv or csv names the columns; else they are `1`, `2` and so on."""
    texts: Names = Field(min_length=1)
    """Columns of the texts, in the order in which they are read. Those of a multiple choice make up
    its context."""
    choices: Names = ()
    """Columns of the answers of a multiple choice."""
    label: Name
    """Column of the label."""
    labels: Names | None = None
    """Every label that there is; for a multiple choice, one for each of `choices`, in their order.
    Null where labels are numbers to be predicted (regression)."""
    metric: Score
    """Score: `accuracy`, `f1` (of the last of two labels), `matthews`; for numbers `pearson` or
    `spearman`."""

    @model_validator(mode="after")
    def _fit(self) -> Task:
        needed = TEXTS_OF_FORM.get(self.form)
        if needed is not None and (len(self.texts) != needed or self.choices):
            raise ValueError(f"{self.form}: texts of {needed} column(s), no choices|correct them")
        if self.form == "multiple_choice" and (
            len(self.choices) < 2 or len(self.labels or ()) != len(self.choices)
        ):
            raise ValueError("multiple_choice: two or more choices, a label for each|add them")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError("two labels or more, or null for numbers|correct labels")
        if (self.metric in OF_NUMBERS) != (self.labels is None):
            raise ValueError(
                "a metric for the labels: pearson or spearman where labels is null (numbers), "
                "accuracy, f1 or matthews where it names them|correct metric or labels"
            )
        if self.metric == "f1" and len(self.labels or ()) != 2:
            raise ValueError("f1 of two labels, the last of which is the positive|use accuracy")
        return self

    @property
    def is_on_hub(self) -> bool:
        """Whether it is a data set of the Hugging Face hub."""
        return self.source.startswith(HUB)

    @property
    def outputs(self) -> int:
        """Outputs of the head: one for each label; one for a number, or an answer."""
        if self.labels is None or self.form == "multiple_choice":
            return 1
        return len(self.labels)


TASKS: Registry[Level] = Registry(
    "task",
    {
        "sst2": Level(
            "SST-2",
            "whether a sentence of a film review is positive",
            "Socher et al. 2013",
            cite="socher2013recursive",
        ),
        "sick-entailment": Level(
            "SICK-E",
            "whether a sentence entails or contradicts another, or neither",
            "Marelli et al. 2014",
            cite="marelli2014sick",
        ),
        "sick-relatedness": Level(
            "SICK-R",
            "how related two sentences are, from 1 to 5",
            "Marelli et al. 2014",
            cite="marelli2014sick",
        ),
        "mrpc": Level(
            "MRPC",
            "whether two sentences of the news say the same",
            "Dolan & Brockett 2005",
            cite="dolan2005automatically",
        ),
        "mctest": Level(
            "MCTest",
            "which of four answers is right about a story for children (MC160)",
            "Richardson et al. 2013",
            cite="richardson2013mctest",
        ),
    },
)


def task_path(name: str) -> Path:
    """The file of a task that comes with the package."""
    return Path(str(resources.files("studies") / "tasks")) / f"{name}.yaml"


def task_label(name: str) -> str:
    """How a task is written for a reader."""
    return TASKS[name].label if name in TASKS else name
