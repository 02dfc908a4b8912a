"""All parts together: handwritten digits are learned, and a killed training goes on to the byte."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from sklearn.datasets import load_digits

from engine import nn
from engine.compile import TrainStep
from engine.data import ArrayDataset, DataLoader
from engine.io import checkpoint
from engine.metrics import Accuracy
from engine.optim import AdamW, no_decay, schedules
from engine.tensor import Tensor

IMAGES, LABELS = load_digits(return_X_y=True)
PIXELS = (IMAGES.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
FIFTH = np.arange(len(LABELS)) % 5 == 0
TRAIN = ArrayDataset({"x": PIXELS[~FIFTH], "y": LABELS[~FIFTH]})
TEST = ArrayDataset({"x": PIXELS[FIFTH], "y": LABELS[FIFTH]})
LOADER = DataLoader(TRAIN, batch_size=64, shuffle=True, seed=1)
EPOCHS = 4


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding="same", bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Residual(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.GELU())),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(256, 10),
    )


class Training:
    """A model that learns the digits, batch after batch."""

    def __init__(self, mode: Literal["graph", "eager"]) -> None:
        self.model = network().init(seed=1)
        named = list(self.model.named_parameters())
        self.optimizer = AdamW(named, lr=3e-3, weight_decay=0.05, groups=[no_decay(named)])
        self.loss = nn.CrossEntropyLoss(label_smoothing=0.05)
        self.schedule = schedules.warmup(schedules.cosine(3e-3, EPOCHS * len(LOADER)), 10)
        self.step = TrainStep(self.model, self._loss, self.optimizer, clip_norm=1.0, mode=mode)
        self.steps = 0

    def _loss(self, model: nn.Module, batch: Any) -> Tensor:
        loss: Tensor = self.loss(model(batch["x"]), batch["y"])
        return loss

    def run(self, until: int) -> list[float]:
        losses = []
        while self.steps < until:
            epoch, start = divmod(self.steps, len(LOADER))
            with LOADER.epoch(epoch, start=start) as batches:
                for batch in batches:
                    rate = self.schedule(self.steps)
                    losses.append(float(self.step(batch, step=self.steps, lr=rate)["loss"]))
                    self.steps += 1
                    if self.steps == until:
                        break
        return losses

    def save(self, path: Path) -> None:
        checkpoint.save(path, self.step.state_dict(), {"steps": self.steps})

    def restore(self, path: Path) -> None:
        arrays, manifest = checkpoint.load(path)
        self.step.load_state_dict(arrays)
        self.steps = manifest["steps"]


def accuracy(model: nn.Module) -> float:
    metric = Accuracy()
    model.eval()
    for batch in DataLoader(TEST, batch_size=100).epoch(0):
        metric.update(model(Tensor(batch["x"])), batch["y"])
    model.train()
    return metric.compute()


def test_digits_are_learned() -> None:
    training = Training("graph")
    losses = training.run(EPOCHS * len(LOADER))
    assert np.mean(losses[-10:]) < 0.55 < 2.0 < losses[0]
    assert accuracy(training.model) > 0.95


@pytest.mark.parametrize("cut", [9, 23])
def test_a_training_that_was_cut_goes_on_to_the_same_bytes(tmp_path: Path, cut: int) -> None:
    whole = Training("graph")
    expected = whole.run(27)

    first = Training("graph")
    losses = first.run(cut)
    first.save(tmp_path / "cut")
    second = Training("graph")
    second.restore(tmp_path / "cut")
    losses += second.run(27)

    assert losses == expected
    for name, array in whole.step.state_dict().items():
        assert second.step.state_dict()[name].tobytes() == array.tobytes(), name


def test_a_hand_written_loop_learns_too() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).init()
    optimizer = AdamW(model.named_parameters(), lr=1e-2)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(4):
        for batch in LOADER.epoch(epoch):
            optimizer.zero_grad()
            loss_of(model(Tensor(batch["x"])), batch["y"]).backward()
            optimizer.step()
    assert accuracy(model) > 0.88
