"""The models that a study may start from: a file each in `studies/presets/`, itself a study."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from studies.registry import Level, Registry

PRESETS: Registry[Level] = Registry(
    "preset",
    {
        "gpt1": Level(
            "GPT-1",
            "12 layers of width 768, post-norm, learned positions, 117M parameters",
            "Radford et al. 2018",
            cite="radford2018improving",
        ),
        "gpt2-small": Level(
            "GPT-2 (124M)",
            "12 layers of width 768, pre-norm, learned positions; nanoGPT's training settings",
            "Radford et al. 2019",
            cite="radford2019language",
        ),
        "llama-style": Level(
            "Llama-style",
            "RMSNorm, SwiGLU, RoPE, no biases, untied head, at GPT-2's depth and width",
            "Touvron et al. 2023",
            cite="touvron2023llama",
        ),
        "nanogpt-gpu": Level(
            "nanoGPT (GPU)",
            "nanoGPT's Shakespeare setting for a GPU: 6 layers of width 384, 256 characters",
            uncited="a public repository",
        ),
        "nanogpt-cpu": Level(
            "nanoGPT (CPU)",
            "nanoGPT's Shakespeare setting for a CPU: 4 layers of width 128, 64 characters",
            uncited="a public repository",
        ),
    },
)


def preset_path(name: str) -> Path:
    """The study file of a preset."""
    return Path(str(resources.files("studies") / "presets")) / f"{name}.yaml"
