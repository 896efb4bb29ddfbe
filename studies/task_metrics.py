"""The names and definitions of the numbers that fine-tuning records."""

from __future__ import annotations

from studies.metrics import (
    DIVERGED_AT_STEP,
    LAST_TRAIN_LOSS,
    METRICS,
    PARAMETERS,
    PEAK_MEMORY_GIB,
    STEPS,
    TRAINING_TIME_S,
    Metric,
)

FINETUNING_LOSS = "finetuning/loss"
FINETUNING_LEARNING_RATE = "finetuning/learning_rate"
EVALUATION_LOSS = "finetuning/evaluation_loss"
EVALUATION_SCORE = "finetuning/evaluation_score"

TASK_SCORE = "summary/task_score"
TASK_LOSS = "summary/task_loss"
CONSTANT_SCORE = "summary/task_constant_score"
TRAIN_EXAMPLES = "summary/task_train_examples"
EVALUATION_EXAMPLES = "summary/task_evaluation_examples"
TRUNCATED_PERCENT = "summary/task_truncated_percent"
UNKNOWN_PERCENT = "summary/task_unknown_percent"

SCORE_PREFIX = "summary/task_"
"""Starts the names of single scores: `summary/task_accuracy`."""

SCORE_METRICS: dict[str, Metric] = {
    SCORE_PREFIX + "accuracy": Metric(
        "accuracy", "", "higher", "share of the evaluation examples whose label is predicted"
    ),
    SCORE_PREFIX + "f1": Metric(
        "F1",
        "",
        "higher",
        "harmonic mean of precision and recall of the last of two labels",
        r"\frac{2 p r}{p + r}",
    ),
    SCORE_PREFIX + "matthews": Metric(
        "Matthews correlation",
        "",
        "higher",
        "correlation of predicted and true labels; 0 for a constant prediction",
        source="Matthews 1975",
    ),
    SCORE_PREFIX + "pearson": Metric(
        "Pearson correlation", "", "higher", "of predicted and true numbers; 0 for a constant"
    ),
    SCORE_PREFIX + "spearman": Metric(
        "Spearman correlation",
        "",
        "higher",
        "of the ranks of predicted and true numbers; 0 for a constant",
    ),
}

TASK_METRICS: dict[str, Metric] = {
    FINETUNING_LOSS: Metric(
        "fine-tuning loss",
        "nats",
        "lower",
        "of a step's batch: loss of the task plus auxiliary_weight times the language-model loss "
        "per token of its texts",
    ),
    FINETUNING_LEARNING_RATE: Metric("learning rate", "", "neither", "rate that the step used"),
    EVALUATION_LOSS: Metric(
        "task loss",
        "nats",
        "lower",
        "on the evaluation examples, after each epoch: cross-entropy, or in regression the mean "
        "squared error of labels that have mean 0 and variance 1 in training",
    ),
    EVALUATION_SCORE: Metric(
        "task score", "", "higher", "the task's metric on the evaluation examples, each epoch"
    ),
    TASK_SCORE: Metric(
        "final task score",
        "",
        "higher",
        "the task's metric on the evaluation examples after the last step; no selection",
    ),
    TASK_LOSS: Metric("final task loss", "nats", "lower", "task loss after the last step"),
    CONSTANT_SCORE: Metric(
        "score of a constant",
        "",
        "neither",
        "of who always says the most frequent label of the training examples; 0 in regression",
    ),
    TRAIN_EXAMPLES: Metric("training examples", "", "neither", "of the task"),
    EVALUATION_EXAMPLES: Metric("evaluation examples", "", "neither", "of the task"),
    TRUNCATED_PERCENT: Metric(
        "truncated examples",
        "%",
        "neither",
        "of training and evaluation: tokens were left out at the end of the longest text, since "
        "the context is too short",
    ),
    UNKNOWN_PERCENT: Metric(
        "examples with unknown characters",
        "%",
        "neither",
        "of training and evaluation: characters were left out that the tokeniser does not know",
    ),
    **SCORE_METRICS,
    **{
        name: METRICS[name]
        for name in (
            DIVERGED_AT_STEP,
            LAST_TRAIN_LOSS,
            PARAMETERS,
            PEAK_MEMORY_GIB,
            STEPS,
            TRAINING_TIME_S,
        )
    },
}
"""Of each run that fine-tunes."""
