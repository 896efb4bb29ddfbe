"""The samplers that a search may name."""

from __future__ import annotations

from studies.registry import Level, Registry

SAMPLERS: Registry[Level] = Registry(
    "sampler",
    {
        "tpe": Level(
            "TPE",
            "tree-structured Parzen estimator; its first `at_once` trials are those of `qmc`",
            "Bergstra et al. 2011",
            cite="bergstra2011algorithms",
        ),
        "gp": Level(
            "Gaussian process",
            "log expected improvement, Matérn 5/2; its first `at_once` trials are those of `qmc`",
            "Ament et al. 2023",
            cite="ament2023unexpected",
        ),
        "qmc": Level(
            "quasi-Monte Carlo",
            "a scrambled Sobol sequence: even coverage, the same trials for every variant",
            "Sobol' 1967",
            cite="sobol1967distribution",
        ),
        "random": Level(
            "random search",
            "uniform in the range, the same trials for every variant",
            "Bergstra & Bengio 2012",
            cite="bergstra2012random",
        ),
    },
)
