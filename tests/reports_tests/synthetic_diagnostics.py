"""Curves of layers and their definitions, as training records them; one is of no known group."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from studies.metrics import ByConstruction, Metric, series_name
from studies.plan import Cell

NORMED = ("batch", "layer", "group", "rms")
RULES = (
    ByConstruction("its norm fixes the RMS", ("attention_norm",), {"model.norm": NORMED}),
    ByConstruction(
        "the stream is the output of a norm", ("residual",),
        {"model.placement": ("post",), "model.norm": NORMED}, first_index=1,
    ),
)  # fmt: skip
SMOOTH = ByConstruction(
    "it is 0 by underflow only", ("block",), {"model.activation": ("gelu", "silu", "swiglu")}
)
DEFINITIONS: dict[str, Metric] = {
    "gradient_norm": Metric(
        "gradient norm", "", "neither", "norm before clipping", source="Xiong et al. 2020",
        scale="log",
    ),
    "activation_rms": Metric(
        "activation RMS", "", "neither", "root mean square", scale="log", by_construction=RULES
    ),
    "activation_rms_change": Metric(
        "change of RMS", "log2", "neither", "log2 of the ratio to step 0", scale="diverging"
    ),
    "activation_drift": Metric(
        "activation drift", "", "neither", "squared Bures distance to step 0", scale="log"
    ),
    "dead_units": Metric(
        "dead units", "share", "neither", "always 0", by_construction=(SMOOTH,)
    ),
    "batch_norm_mean_distance": Metric(
        "distance to running mean", "", "neither", "distance of means", scale="log"
    ),
    "batch_norm/loss_gap": Metric("loss gap", "nats/token", "neither", "training - evaluation"),
    "novel_measure": Metric("novel measure", "", "neither", "something new", source="Nobody 2031"),
}  # fmt: skip


def diagnostics(
    cell: Cell, step: int, done: float, random: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """Name and value of each curve of a run at a step; `done` is the share of its steps."""
    model = cell.configuration["model"]
    layers = int(model["n_layers"])
    post, bare = model["placement"] == "post", model["norm"] == "none"
    noise = np.exp(random.normal(0, 0.1, 100))
    yield "gradient_norm/total", float(noise[0])
    for layer in range(layers):
        slope = 0.25 * layer if post else -0.2 * layer
        norm = 0.4 * np.exp(slope - 1.5 * done) * (3 if bare else 1)
        yield series_name("gradient_norm", "block", layer), float(norm * noise[layer])
        dead = 0.3 * done * layer / layers if model["activation"] == "relu" else 0.0
        yield series_name("dead_units", "block", layer), float(dead)
        yield series_name("novel_measure", "block", layer), layer + done
        if model["norm"] == "batch":
            distance = float(0.1 * noise[10 + layer] / (layer + 1))
            yield series_name("batch_norm_mean_distance", "attention_norm", layer), distance
    if model["norm"] == "batch":
        yield "batch_norm/loss_gap", float(noise[1] - 1)
    for layer in range(layers + 1):
        rms = 1.0 if post and not bare and layer else float(0.1 * 2**layer * (1 + done))
        drift = 0.3 * (layer + 1) ** (0.3 if post else 1.4) * done * (20 if bare else 1)
        yield series_name("activation_rms", "residual", layer), rms
        yield series_name("activation_rms_change", "residual", layer), float(done - layer / layers)
        yield (
            series_name("activation_drift", "residual", layer),
            float(drift * noise[20 + layer]) if step else 0.0,
        )
    for layer in range(layers):
        if not bare:
            yield series_name("activation_rms", "attention_norm", layer), 1.0
        yield series_name("activation_rms", "hidden", layer), float(0.3 * noise[30 + layer])
        yield series_name("activation_drift", "hidden", layer), float(done * noise[40 + layer])
