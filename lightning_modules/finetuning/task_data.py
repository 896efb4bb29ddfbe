"""The examples of a task as a model reads them, and what was left out of them."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_modules.data.codec import Codec
from lightning_modules.finetuning.examples import read_examples
from lightning_modules.finetuning.inputs import Encoded, Framing
from studies.tasks import Task


@dataclass(frozen=True)
class TaskData:
    """Both parts of a task in tokens."""

    framing: Framing
    train: list[Encoded]
    evaluation: list[Encoded]

    @property
    def truncated_percent(self) -> float:
        """Examples that are too long for the context, in percent."""
        return self._percent([example.truncated for example in self._all])

    @property
    def unknown_percent(self) -> float:
        """Examples with characters that the tokeniser does not know, in percent."""
        return self._percent([example.unknown for example in self._all])

    def describe(self) -> str:
        """How many there are, and how many lost something."""
        parts = [f"{len(self.train):,} examples to train on, {len(self.evaluation):,} to score"]
        if self.truncated_percent:
            length = self.framing.context_length
            parts.append(f"{self.truncated_percent:.1f}% cut to the context of {length} tokens")
        if self.unknown_percent:
            parts.append(f"{self.unknown_percent:.1f}% with characters that no token stands for")
        return "; ".join(parts)

    @property
    def _all(self) -> list[Encoded]:
        return [*self.train, *self.evaluation]

    def _percent(self, flags: list[bool]) -> float:
        return 100 * sum(flags) / len(flags)


def read_task(task: Task, codec: Codec, context_length: int) -> TaskData:
    """The examples of a task in the tokens of a model.

    Raises:
        AblationError: the files cannot be used, or the context is too short for any text.
    """
    framing = Framing(codec, task.form, context_length)
    train, evaluation = (
        framing.encode(read_examples(task, part)) for part in ("train", "evaluation")
    )
    return TaskData(framing, train, evaluation)
