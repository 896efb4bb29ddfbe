"""Small language models to look into, and what they compute, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from lightning_modules.diagnostics.suite import DiagnosticSuite
from lightning_modules.evaluation import evaluation_mode
from lightning_modules.gpt.roles import named_roles
from lightning_modules.language_model import LanguageModel
from lightning_modules.schedule import Schedule
from studies.run_spec import RunSpec
from studies.schema import DataConfig, DiagnosticsConfig, ModelConfig, TrainingConfig

VOCABULARY = 20
PROBE = torch.randint(VOCABULARY, (6, 9), generator=torch.Generator().manual_seed(0))
BATCH = torch.randint(VOCABULARY, (4, 9), generator=torch.Generator().manual_seed(1))


def spec_of(*enabled: str, modules: dict[str, str] | None = None, **model: Any) -> RunSpec:
    sizes = {"n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": 8}
    return RunSpec(
        model=ModelConfig(**{**sizes, **model}),
        data=DataConfig(),
        training=TrainingConfig(max_steps=100),
        diagnostics=DiagnosticsConfig(
            enabled=enabled,
            modules=modules or {},
            log_every_steps=1,
            probe_every_steps=1,
            rare_every_steps=1,
        ),
        seed=0,
    )


def build(*enabled: str, **model: Any) -> tuple[LanguageModel, DiagnosticSuite]:
    """A language model with a suite that looks at every step."""
    module = LanguageModel(spec_of(**model), VOCABULARY)
    return module, suite_on(module, *enabled)


def suite_on(
    module: pl.LightningModule, *enabled: str, modules: dict[str, str] | None = None
) -> DiagnosticSuite:
    spec = spec_of(*enabled, modules=modules)
    probe_BT = PROBE.to(module.device)
    return DiagnosticSuite(spec.diagnostics, Schedule.of(spec), module, probe_BT, [probe_BT])


def disturb(
    module: LanguageModel, scale: float = 0.3, seed: int = 1, kinds: tuple[str, ...] = ()
) -> None:
    """Move every parameter, as training would, or those of some kinds."""
    generator = torch.Generator().manual_seed(seed)
    roles = named_roles(module.model)
    with torch.no_grad():
        for name, parameter in module.model.named_parameters():
            if kinds and roles[name].kind not in kinds:
                continue
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def probe(suite: DiagnosticSuite, step: int) -> dict[str, float]:
    names, values = suite.probe(step)
    return dict(zip(names, values.tolist(), strict=True))


def step(
    module: LanguageModel, suite: DiagnosticSuite, *, learning_rate: float = 1e-2
) -> dict[str, float]:
    """One step of the module's own optimiser on BATCH; what the suite reads of it."""
    optimizer = module.configure_optimizers()["optimizer"]
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    module.zero_grad()
    module.training_step(BATCH, 0).backward()
    suite.before_step(1)
    optimizer.step()
    names, values = suite.after_step(1, BATCH)
    return dict(zip(names, values.tolist(), strict=True))


def activations(module: LanguageModel) -> dict[str, np.ndarray]:
    """Every tap on the probe batch, (N, D) in double precision, computed part by part."""
    model, seen = module.model, {}
    with evaluation_mode(module):
        x = model.embedding_scale(model.position_embedding(model.token_embedding(PROBE[:, :-1])))
        for index, block in enumerate(model.blocks):
            seen[f"residual_{index:02d}"] = x
            for sub_layer in ("attention", "feed_forward"):
                layer = getattr(block, sub_layer)
                norm = getattr(getattr(block, f"{sub_layer}_residual"), "norm", None)
                first = model.config.placement in ("pre", "sandwich")
                before = norm(x) if norm and first else x
                out = layer(before)
                seen[f"{sub_layer}_output_{index:02d}"] = out
                if model.config.placement == "sandwich":
                    out = getattr(block, f"{sub_layer}_residual").output_norm(out)
                    seen[f"{sub_layer}_output_norm_{index:02d}"] = out
                after = norm(x + out) if norm and not first else x + out
                if norm:
                    normed = before if first else after
                    seen[f"{sub_layer}_norm_{index:02d}"] = normed
                if sub_layer == "feed_forward":
                    projected = block.feed_forward.input(before)
                    seen[f"pre_activation_{index:02d}"] = projected
                    seen[f"hidden_{index:02d}"] = block.feed_forward.activation(projected)
                x = after
        seen[f"residual_{len(model.blocks):02d}"] = x
        if model.config.placement in ("pre", "sandwich"):
            seen["final_norm_00"] = model.final_norm(x)
    return {name: tap.flatten(0, 1).double().numpy() for name, tap in seen.items()}
