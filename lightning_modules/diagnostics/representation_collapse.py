"""Whether tokens become alike, and how many directions they spread over, on the probe batch.

Legend: N tokens, D channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import normalize

from lightning_modules.diagnostics.base import TapDiagnostic
from lightning_modules.diagnostics.fixed_by_norms import BATCH_NORMS, fixed_by_norms
from lightning_modules.diagnostics.taps import Look, full_precision, precise
from lightning_modules.schedule import Cost
from studies.metrics import Metric

SIMILARITY, RANK = "token_similarity", "effective_rank"


class RepresentationCollapse(TapDiagnostic):
    """Mean cosine between tokens, and the participation ratio of their covariance."""

    cost: ClassVar = Cost.PROBE
    taps: ClassVar = ("residual", "final_norm")
    definitions: ClassVar[Mapping[str, Metric]] = {
        SIMILARITY: Metric(
            label="token similarity",
            unit="",
            direction="neither",
            definition="mean cosine between the activations of two different tokens of the probe "
            "batch: 0 where directions are evenly spread, 1 where all tokens point the same way",
            formula=r"\frac{1}{N(N-1)} \sum_{n \ne m} \frac{x_n \cdot x_m}{|x_n| \, |x_m|}",
            source="Ethayarajh 2019 (anisotropy); its growth with depth: Dong et al. 2021",
            by_construction=fixed_by_norms(
                "batch norm centres each channel before its gain and bias, so that cosines cancel, "
                "as far as its running statistics keep up",
                BATCH_NORMS,
                outputs=("final_norm",),
            ),
        ),
        RANK: Metric(
            label="effective rank (participation ratio)",
            unit="dimensions",
            direction="neither",
            definition="participation ratio of the eigenvalues of the channels' covariance C over "
            "the probe tokens: 1 where they vary in one direction, D where in all alike; outlier "
            "channels lower it, and so do few tokens (N unrelated ones reach about ND/(N+D))",
            formula=r"(\mathrm{tr}\, C)^2 \,/\, |C|_F^2",
            source="Gao et al. 2017",
            scale="log",
        ),
    }

    def look(self, look: Look) -> None:
        """Note both."""
        self.note(SIMILARITY, look.name, token_similarity(look.x_ND))
        centred_ND = precise(look.x_ND) - look.moments.mean_D
        self.note(RANK, look.name, participation_ratio(centred_ND.to(look.x_ND.dtype)))


def token_similarity(x_ND: Tensor) -> Tensor:
    """Mean cosine () over all pairs of different tokens, from the sum of the unit vectors."""
    units_ND = precise(normalize(x_ND, dim=-1))
    n = len(x_ND)
    pairs = units_ND.sum(0).square().sum() - units_ND.square().sum()
    return pairs / (n * (n - 1))


def participation_ratio(centred_ND: Tensor) -> Tensor:
    """(tr C)² / |C|² (), of the covariance C of centred activations.

    With fewer tokens than channels it is taken from their products: those have the same
    eigenvalues, and C may be large.
    """
    rows = centred_ND if len(centred_ND) < centred_ND.shape[1] else centred_ND.mT
    with full_precision(centred_ND):
        products = rows @ rows.mT
    return products.trace().square() / products.square().sum()
