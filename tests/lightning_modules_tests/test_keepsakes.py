import errno
import logging
import math
import resource
import signal
from pathlib import Path

import pytest
import torch

from lightning_modules.checkpoints import TOKENIZER, WEIGHTS
from lightning_modules.data.codec import Codec
from lightning_modules.data.token_store import build_token_store
from lightning_modules.keepsakes import (
    Keepsakes,
    draw_samples,
    load_trained,
    save_weights,
    study_prompts,
)
from lightning_modules.language_model import next_token_loss
from lightning_modules.stream import fixed_batches
from lightning_modules.training import train_run
from studies.errors import AblationError
from studies.execution import ExecutionConfig
from studies.generation import SamplesConfig, Sampling
from studies.metrics import (
    BYTES_PER_TOKEN,
    FINAL_BITS_PER_BYTE,
    FINAL_BYTE_PERPLEXITY,
    FINAL_LOSS,
    FINAL_PERPLEXITY,
)
from studies.records import Outcome
from studies.schema import CustomModule
from tests.lightning_modules_tests.tiny_runs import LSTM, RowsSink, tiny_spec, write_text

MUTE = """
import pytorch_lightning as pl
import torch

class Mute(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch, batch_idx):
        return self.level.square()

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("corpus") / "text.txt")


def trained(spec, directory, wanted):
    directory.mkdir(exist_ok=True)
    return train_run(
        spec,
        execution=ExecutionConfig(accelerator="cpu"),
        cache=Path(spec.data.corpus).parent / "cache",
        directory=directory,
        resume_from=None,
        sink=RowsSink(),
        should_stop=lambda: False,
        keepsakes=wanted,
    )


def store_of(spec):
    return build_token_store(spec.data, Path(spec.data.corpus).parent / "cache")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"model": {"tied_head": False, "norm": "batch", "bias": True, "position": "rope"}},
        {"training": {"precision": "bf16-true"}},
        {"module": LSTM},
    ],
)
def test_weights_that_are_kept_give_the_final_loss(settings, corpus, tmp_path):
    spec = tiny_spec(corpus, **settings)
    result = trained(spec, tmp_path, Keepsakes(weights=True))
    assert result.samples is None
    found = load_trained(spec, tmp_path)
    module = found.module.eval()
    with torch.no_grad():
        batches = fixed_batches(store_of(spec), spec).evaluation_BT
        losses = [next_token_loss(module, batch) for batch in batches]
    mean = sum(float(loss) * len(b) for loss, b in zip(losses, batches, strict=True))
    tolerance = 0.02 if "training" in settings else 1e-6
    assert mean / sum(map(len, batches)) == pytest.approx(result.summary[FINAL_LOSS], abs=tolerance)


def test_the_final_loss_in_other_units(corpus, tmp_path):
    summary = trained(tiny_spec(corpus), tmp_path, Keepsakes()).summary
    loss = summary[FINAL_LOSS]
    assert summary[FINAL_PERPLEXITY] == pytest.approx(math.exp(loss))
    assert summary[BYTES_PER_TOKEN] == 1.0  # ASCII characters
    assert summary[FINAL_BITS_PER_BYTE] == pytest.approx(loss / math.log(2))
    assert summary[FINAL_BYTE_PERPLEXITY] == pytest.approx(math.exp(loss))
    assert not list(tmp_path.glob("*.safetensors"))


def test_bits_per_byte_count_the_bytes_of_the_evaluation_set(corpus, tmp_path):
    spec = tiny_spec(corpus)
    data = spec.data.model_copy(update={"tokenizer": "bpe", "vocabulary_size": 280})
    spec = spec.model_copy(update={"data": data})
    summary = trained(spec, tmp_path, Keepsakes(weights=True)).summary
    store, codec = store_of(spec), Codec(tmp_path / TOKENIZER)
    targets = [batch[:, 1:].flatten().tolist() for batch in fixed_batches(store, spec)[0]]
    size = sum(len(codec.decode(ids).encode()) for ids in targets)
    assert summary[BYTES_PER_TOKEN] == pytest.approx(size / sum(map(len, targets)))
    bits = summary[FINAL_LOSS] / math.log(2) / summary[BYTES_PER_TOKEN]
    assert summary[FINAL_BITS_PER_BYTE] == pytest.approx(bits)


def test_a_run_that_diverges_leaves_nothing(corpus, tmp_path):
    spec = tiny_spec(corpus, training={"learning_rate": 1e6, "gradient_clip_norm": None})
    result = trained(spec, tmp_path, Keepsakes(True, SamplesConfig()))
    assert result.outcome is Outcome.DIVERGED
    assert result.samples is None
    assert not (tmp_path / WEIGHTS).exists()


def test_samples_go_on_with_the_prompts_of_the_study(corpus, tmp_path):
    spec = tiny_spec(corpus)
    wanted = SamplesConfig(prompts=("the", "a n"), max_new_tokens=4, temperature=0, seed=3)
    samples = trained(spec, tmp_path, Keepsakes(True, wanted)).samples
    assert samples is not None
    assert samples.sampling == Sampling(max_new_tokens=4, temperature=0, seed=3)
    assert [text.prompt for text in samples.texts] == ["the", "a n"]
    assert {(text.tokens, text.ended) for text in samples.texts} == {(4, "length")}
    found = load_trained(spec, tmp_path)
    prompts = [found.codec.encode(prompt) for prompt in wanted.prompts]
    assert draw_samples(found, prompts, wanted.sampling) == samples.texts


def test_without_prompts_beginnings_of_the_held_out_text_are_gone_on_with(corpus, tmp_path):
    spec = tiny_spec(corpus)
    samples = trained(spec, tmp_path, Keepsakes(samples=SamplesConfig())).samples
    assert samples is not None
    text = corpus.read_text()
    held_out = text[int(len(text) * 0.9) :]
    assert [found.prompt for found in samples.texts] == [
        held_out[:2],
        held_out[len(held_out) // 2 :][:2],
    ]
    assert {(found.tokens, found.ended) for found in samples.texts} == {(6, "context")}


def test_an_empty_list_of_prompts_asks_for_nothing(corpus, tmp_path, caplog):
    wanted = Keepsakes(samples=SamplesConfig(prompts=()))
    with caplog.at_level(logging.WARNING):
        assert trained(tiny_spec(corpus), tmp_path, wanted).samples is None
    assert not caplog.records


def test_a_module_of_ones_own_generates_where_it_gives_logits(corpus, tmp_path):
    wanted = Keepsakes(samples=SamplesConfig())
    assert trained(tiny_spec(corpus, module=LSTM), tmp_path, wanted).samples is not None
    (tmp_path / "mute.py").write_text(MUTE)
    mute = CustomModule(import_path=f"{tmp_path}/mute.py:Mute")
    assert trained(tiny_spec(corpus, module=mute), tmp_path, wanted).samples is None


def test_a_prompt_that_fails_costs_no_run(corpus, tmp_path, caplog):
    wanted = Keepsakes(samples=SamplesConfig(prompts=("?",)))
    with caplog.at_level(logging.WARNING):
        result = trained(tiny_spec(corpus), tmp_path, wanted)
    assert result.outcome is Outcome.COMPLETED
    assert result.samples is None
    assert "cannot write '?'" in caplog.text


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("", "has no token"), ("the model", "9 tokens leaves no room"), ("té", "cannot write 'é'")],
)
def test_prompts_are_tried_before_anything_runs(corpus, prompt, message):
    spec = tiny_spec(corpus)
    with pytest.raises(AblationError, match=message):
        study_prompts(spec, store_of(spec), SamplesConfig(prompts=("the", prompt)))


def test_a_full_disk_is_an_error_of_the_system_and_leaves_no_torn_file(corpus, tmp_path):
    spec = tiny_spec(corpus)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            save_weights(torch.nn.Linear(100, 100), store_of(spec), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == [TOKENIZER]


def test_weights_of_another_model_are_refused(corpus, tmp_path):
    spec = tiny_spec(corpus)
    trained(spec, tmp_path, Keepsakes(weights=True))
    with pytest.raises(AblationError, match="does not fit the model of its run"):
        load_trained(tiny_spec(corpus, model={"d_model": 32}), tmp_path)
