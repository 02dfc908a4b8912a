"""What is measured: the work, its sizes, and how much faster than the best peer it must be."""

from __future__ import annotations

from dataclasses import dataclass

TRAINING_PEERS = ("torch_eager", "torch_compile", "jax")
INFERENCE_PEERS = (*TRAINING_PEERS, "onnxruntime")
#: Cold and warm limits of making a step ready, in milliseconds.
COLD_MS, WARM_MS = 1500.0, 50.0


@dataclass(frozen=True)
class Row:
    """One line of the table.

    model: its name in weights.py and in every peer's file.
    target: our speed over that of the best peer. targets: the same over one peer.
    optimizer: "" for inference. lr: small enough that PyTorch's own float32 losses are within 1e-4
        of its float64 losses for 50 steps; more would compare the growth of rounding errors.
    """

    name: str
    title: str
    model: str
    batch: int
    target: float
    optimizer: str = ""
    targets: tuple[tuple[str, float], ...] = ()
    lr: float = 1e-3

    @property
    def trains(self) -> bool:
        return bool(self.optimizer)

    @property
    def peers(self) -> tuple[str, ...]:
        return TRAINING_PEERS if self.trains else INFERENCE_PEERS

    @property
    def options(self) -> dict[str, float]:
        return OPTIMIZERS[self.optimizer] | {"lr": self.lr}


#: The numbers of each optimizer; Adam's betas and eps are those of its paper.
OPTIMIZERS: dict[str, dict[str, float]] = {
    "adam": {"weight_decay": 0.0},
    "adamw": {"weight_decay": 1e-2},
    "sgd": {"weight_decay": 5e-4, "momentum": 0.9},
}
BETAS, EPS = (0.9, 0.999), 1e-8

ROWS = (
    Row(
        "mlp-small",
        "MLP 64-128-128-10, batch 64, Adam",
        "mlp_small",
        64,
        2.0,
        "adam",
        (("torch_eager", 4.0),),
    ),
    Row(
        "mlp-large",
        "MLP 784-512-512-10, batch 256, Adam",
        "mlp_large",
        256,
        1.2,
        "adam",
        lr=1e-4,
    ),
    Row(
        "tabular", "8 embeddings + MLP 256, batch 512, AdamW", "tabular", 512, 2.0, "adamw", lr=3e-4
    ),
    Row("cnn", "CNN 3-32-64, BatchNorm, 32×32, batch 64, Adam", "cnn", 64, 1.8, "adam", lr=1e-4),
    Row("resnet18", "ResNet-18, CIFAR stem, batch 32, SGD", "resnet18", 32, 1.2, "sgd", lr=3e-5),
    Row(
        "transformer",
        "2-layer transformer, d 128, 32×64 tokens, AdamW",
        "transformer",
        32,
        1.5,
        "adamw",
    ),
    Row(
        "gpt",
        "6-layer GPT, d 192, context 128, batch 16, AdamW",
        "gpt",
        16,
        1.1,
        "adamw",
        lr=3e-4,
    ),
    Row("lstm", "LSTM 128, 64×50 steps, Adam", "lstm", 64, 2.0, "adam"),
    Row(
        "factors",
        "matrix factorisation 10k×5k, d 64, batch 4096, Adam",
        "factors",
        4096,
        2.0,
        "adam",
    ),
    Row(
        "audio",
        "1-D conv audio net, 8,000 samples, batch 32, Adam",
        "audio",
        32,
        1.5,
        "adam",
        lr=1e-4,
    ),
    Row("infer-mlp-small", "inference, batch 1: MLP 64-128-128-10", "mlp_small", 1, 1.0),
    Row("infer-mlp-large", "inference, batch 1: MLP 784-512-512-10", "mlp_large", 1, 1.0),
    Row("infer-cnn", "inference, batch 1: CNN", "cnn", 1, 1.0),
    Row("infer-transformer", "inference, batch 1: transformer", "transformer", 1, 1.0),
)


def find(name: str) -> Row:
    """The row of a name; KeyError names those there are."""
    for row in ROWS:
        if row.name == name:
            return row
    raise KeyError(f"no row is called {name!r}; there are {', '.join(r.name for r in ROWS)}")
