"""Loaded models, ready to predict: the most recently used ones stay in memory."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from core.errors import Damaged, Invalid
from spec.manifest import WEIGHTS
from spec.predictor import Predictor
from store import artifacts, blobs
from store.tables import Model

MAX_MODELS = 8
MAX_BYTES = 2**30  # of weights; one model may be larger, but then it stands alone

Row = Mapping[str, Any]


@dataclass
class _Slot:
    """One model; the lock lets it load once, and predict one batch at a time."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    predictor: Predictor | None = None
    bytes: int = 0


class Predictors:
    """The models in memory; those unused for longest make room."""

    def __init__(
        self,
        readers: sessionmaker[Session],
        *,
        max_models: int = MAX_MODELS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._readers = readers
        self._max_models = max_models
        self._max_bytes = max_bytes
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def loaded(self) -> list[str]:
        """Ids of the models in memory, the most recently used one last."""
        return [name for name, slot in self._slots.items() if slot.predictor is not None]

    def predict(self, model: Model, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """One answer a row. Raises Invalid with pointers like /rows/3/age."""
        slot = self._slot(model.id)
        with slot.lock:
            if slot.predictor is None:
                slot.predictor, slot.bytes = self._load(model)
                self._make_room()
            return slot.predictor.predict(rows)

    def _slot(self, model_id: str) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(model_id, _Slot())
            self._slots.move_to_end(model_id)
            return slot

    def _make_room(self) -> None:
        with self._lock:
            while len(self._slots) > 1 and self._crowded():
                self._slots.popitem(last=False)

    def _crowded(self) -> bool:
        used = sum(slot.bytes for slot in self._slots.values())
        return len(self._slots) > self._max_models or used > self._max_bytes

    def _load(self, model: Model) -> tuple[Predictor, int]:
        with self._readers.begin() as session:
            weights = artifacts.get(session, model.job_id, WEIGHTS)
        content = b"".join(blobs.stream(self._readers, weights.sha256))
        try:
            return Predictor.load(model.manifest, content), len(content)
        except Invalid as error:
            raise Damaged(f"model {model.id} cannot be loaded: {error.detail}") from error
