"""Methods that no level of a factor names: of training, generation, statistics, and software."""

from __future__ import annotations

from studies.registry import Level, Registry

TRAINING: Registry[Level] = Registry(
    "training method",
    {
        "transformer": Level(
            "decoder-only transformer",
            "causal self-attention and feed-forwards around a residual stream",
            "Vaswani et al. 2017; Radford et al. 2018",
            cite="vaswani2017attention,radford2018improving",
        ),
        "adamw": Level(
            "AdamW",
            "Adam with decoupled weight decay",
            "Loshchilov & Hutter 2019",
            cite="loshchilov2019decoupled",
        ),
        "cosine": Level(
            "cosine decay",
            "half a cosine from the peak learning rate down",
            "Loshchilov & Hutter 2017",
            cite="loshchilov2017sgdr",
        ),
        "clipping": Level(
            "gradient clipping",
            "gradients scaled down to a global norm",
            "Pascanu et al. 2013",
            cite="pascanu2013difficulty",
        ),
        "dropout": Level(
            "dropout",
            "on embeddings, attention weights and sub-layer outputs",
            "Srivastava et al. 2014",
            cite="srivastava2014dropout",
        ),
        "qk_norm": Level(
            "normalised queries and keys",
            "LayerNorm on queries and keys, per head",
            "Dehghani et al. 2023",
            cite="dehghani2023scaling",
        ),
        "tied_head": Level(
            "a head tied to the embedding",
            "one matrix for token embedding and output",
            "Press & Wolf 2017",
            cite="press2017using",
        ),
        "matched_width": Level(
            "matched hidden width",
            "a gated feed-forward gets the hidden width that keeps its size",
            "Shazeer 2020",
            cite="shazeer2020glu",
        ),
        "minutes": Level(
            "a budget of time",
            "a schedule that is tied to minutes of training",
            "Geiping & Goldstein 2022",
            cite="geiping2022cramming",
        ),
        "flops": Level(
            "FLOPs per token",
            "6 for each weight that multiplies a token, and those of attention scores",
            "Kaplan et al. 2020; Chowdhery et al. 2022",
            cite="kaplan2020scaling,chowdhery2022palm",
        ),
    },
)

GENERATION: Registry[Level] = Registry(
    "way of drawing tokens",
    {
        "top_k": Level(
            "top-k sampling",
            "draws among the k likeliest tokens",
            "Fan et al. 2018",
            cite="fan2018hierarchical",
        ),
        "top_p": Level(
            "nucleus sampling",
            "draws among the fewest likeliest tokens that have a probability together",
            "Holtzman et al. 2020",
            cite="holtzman2020curious",
        ),
    },
)

STATISTICS: Registry[Level] = Registry(
    "statistical method",
    {
        "paired-t": Level(
            "paired t intervals",
            "of differences by seed, with n - 1 degrees of freedom",
            "Student 1908",
            cite="student1908probable",
        ),
        "holm": Level(
            "Holm's adjustment for several tests", "step-down", "Holm 1979", cite="holm1979simple"
        ),
        "tost": Level(
            "two one-sided tests of equivalence",
            "the larger p of both counts",
            "Schuirmann 1987",
            cite="schuirmann1987comparison",
        ),
        "clopper-pearson": Level(
            "exact intervals of proportions",
            "from the binomial distribution",
            "Clopper & Pearson 1934",
            cite="clopper1934use",
        ),
        "sign-flip": Level(
            "exact sign-flip tests",
            "over all signs of the differences by seed",
            "Fisher 1935; Phipson & Smyth 2010",
            cite="fisher1935design,phipson2010permutation",
        ),
        "p-win": Level(
            "the probability P(win) of the lower loss",
            "share of seeds in which a variant has the lower loss",
            "Bouthillier et al. 2021",
            cite="bouthillier2021accounting",
        ),
        "noise-floor": Level(
            "a noise floor with Box's effective degrees of freedom",
            "what two means of one variant differ by, seeds aside",
            "Box 1954",
            cite="box1954theorems",
        ),
        "anova": Level(
            "analysis of variance with the seed as block, degrees of freedom by Greenhouse and "
            "Geisser, partial eta squared and omega squared",
            "each term against its own interaction with the seed, df by Greenhouse and Geisser",
            "Winer 1971; Greenhouse & Geisser 1959; Cohen 1973",
            cite="winer1971statistical,greenhouse1959methods,cohen1973eta",
        ),
        "sensitivity": Level(
            "sensitivity S to the learning rate",
            "mean over learning rates of the loss above the lowest",
            "Wortsman et al. 2023",
            cite="wortsman2023small",
        ),
        "kendall": Level(
            "Kendall's tau",
            "share of pairs in the same order less that of pairs in the other one",
            "Kendall 1938",
            cite="kendall1938new",
        ),
        "spearman": Level(
            "Spearman's rho",
            "correlation of ranks",
            "Spearman 1904; Narang et al. 2021",
            cite="spearman1904proof,narang2021transformer",
        ),
        "early-loss": Level(
            "the loss early in training",
            "beside the final one, which it need not foretell",
            "Narang et al. 2021",
            cite="narang2021transformer",
        ),
    },
)
"""What the sections of a report say their numbers were made by."""

SOFTWARE: Registry[Level] = Registry(
    "software",
    {
        "torch": Level("PyTorch", "trains", "Paszke et al. 2019", cite="paszke2019pytorch"),
        "pytorch-lightning": Level(
            "PyTorch Lightning", "runs the loop", "Falcon et al. 2019", cite="falcon2019lightning"
        ),
        "mlflow": Level("MLflow", "tracks", "Zaharia et al. 2018", cite="zaharia2018accelerating"),
        "optuna": Level("Optuna", "queues and searches", "Akiba et al. 2019",
                        cite="akiba2019optuna"),
        "datasets": Level("Datasets", "reads corpora of the hub", "Lhoest et al. 2021",
                          cite="lhoest2021datasets"),
        "tokenizers": Level("Tokenizers", "trains and reads BPE", "Moi & Patry 2023",
                            cite="moi2023tokenizers"),
        "numpy": Level("NumPy", "computes", "Harris et al. 2020", cite="harris2020array"),
        "scipy": Level("SciPy", "has the distributions", "Virtanen et al. 2020",
                       cite="virtanen2020scipy"),
        "matplotlib": Level("Matplotlib", "draws", "Hunter 2007", cite="hunter2007matplotlib"),
        "seaborn": Level("seaborn", "has the styles", "Waskom 2021", cite="waskom2021seaborn"),
    },
)  # fmt: skip
