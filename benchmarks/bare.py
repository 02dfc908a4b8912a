"""The engine alone on the work of a job: `python -m benchmarks.bare CSV EPOCHS`.

No service, no database, no checkpoints: a data loader, a compiled step, and the validation that
the job does after each epoch. Prints `{"seconds": …}`, from the end of the first step to the end of
the last epoch, as `benchmarks.service` counts a job's training phase.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from engine.compile import TrainStep
from engine.data import DataLoader
from gradworks.demo import SPEC
from spec import jobs
from spec.build import build
from spec.data.prepare import prepare
from spec.data.sources import DataFile


def main(path: Path, epochs: int) -> float:
    spec = jobs.parse(SPEC | {"train": SPEC["train"] | {"epochs": epochs}})
    prepared = prepare([DataFile(path.name, path)], spec.data, seed=0, format="csv")
    training = build(spec, prepared)
    network, train = training.network, spec.train
    step = TrainStep(
        network,
        training.objective,
        train.optimizer.make(network.named_parameters()),
        seed=train.seed,
    )
    size = training.budget.batch_size
    loader = DataLoader(prepared.train, batch_size=size, shuffle=True, seed=0, drop_last=True)
    done, started = 0, 0.0
    for epoch in range(epochs):
        for batch in loader.epoch(epoch):
            step(batch, step=done, lr=training.lr(done))
            done += 1
            started = started or time.perf_counter()
        training.evaluate("validation")
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps({"seconds": main(Path(sys.argv[1]), int(sys.argv[2]))}))
