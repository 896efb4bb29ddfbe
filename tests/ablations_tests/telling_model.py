"""A model whose error tells the secrets of its environment."""

import os

from tests.ablations_tests.fragile_model import FragileModel


class TellingModel(FragileModel):
    def __init__(self, vocabulary_size: int, learning_rate: float, seed: int) -> None:
        super().__init__(vocabulary_size, learning_rate, seed, switch="")

    def training_step(self, batch, batch_idx):
        if self.global_step >= 5:
            secret = os.environ["DATA_PASSWORD"]
            raise RuntimeError(f"no entry to ftp://ada:{secret}@data with {secret}")
        return super().training_step(batch, batch_idx)
