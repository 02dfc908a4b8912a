"""Plans and their code kept on disk: found again, and made again where they cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import aligned
from engine.backend.cpu import disk
from engine.backend.cpu.kernels import EMITTERS, one
from engine.backend.cpu.native import Native
from engine.compile import Inference, TrainStep, backend
from engine.dispatch import apply
from engine.ir.fingerprint import fingerprint
from engine.ir.graph import Graph, TensorType
from engine.ir.trace import trace
from engine.optim import Adam
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import compiler
from tests.engine.compile.models import CASES


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADWORKS_COMPILER", compiler().command[0])
    monkeypatch.setenv("GRADWORKS_CACHE", str(tmp_path))
    return tmp_path / "c"


def make(name: str = "mlp") -> TrainStep:
    model = CASES[name].build().init(3)
    return TrainStep(model, CASES[name].loss, Adam(model.named_parameters()), seed=5, threads=2)


def learn(step: TrainStep, name: str = "mlp") -> list[bytes]:
    for n in range(3):
        step(CASES[name].batch(8, n), step=n, lr=1e-2)
    return [array.tobytes() for array in step.state_dict().values()]


def native(step: TrainStep) -> Native:
    (found,) = step._runners._ready.values()
    assert isinstance(found, Native)
    return found


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(graph: Graph) -> Graph:
        raise AssertionError("planned again")

    monkeypatch.setattr(backend, "fuse", refuse)


@pytest.mark.parametrize("name", ["mlp", "words"])
def test_what_was_compiled_is_not_planned_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = learn(make(name), name)
    forbid(monkeypatch)
    again = make(name)
    assert learn(again, name) == expected
    assert again.backend.startswith("c (")


def test_a_constant_that_repeats_is_kept_as_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    def tripled(x: Tensor) -> Tensor:
        return x * Tensor(np.broadcast_to(np.float32(3), (4, 5)))

    chosen = backend.Backend("auto", threads=1)
    x = np.ones((4, 5), np.float32)

    def run() -> np.ndarray:
        plan = chosen.plan(trace(tripled, TensorType(x.shape, x.dtype)), ())
        return np.array(chosen.bind(plan, {}, aligned.memory(plan.arena_bytes)).run([x])[0])

    assert (run() == 3).all()
    forbid(monkeypatch)
    assert (run() == 3).all()
    assert str(chosen).startswith("c (")


def test_launches_of_a_recalled_plan_are_made_when_asked_for() -> None:
    first, second = make(), make()
    learn(first)
    learn(second)
    one, other = native(first).plan, native(second).plan
    assert other.code is not None
    assert len(other.launches) == len(one.launches)
    assert other.describe() == one.describe()
    assert other.fingerprint() == one.fingerprint()


@pytest.mark.parametrize("kind", ["*.plan", "*.so"])
@pytest.mark.parametrize("kept", [40])
def test_a_damaged_file_is_made_again(folder: Path, kind: str, kept: int) -> None:
    expected = learn(make())
    damaged = list(folder.glob(kind))
    assert damaged
    for path in damaged:
        content = path.read_bytes()
        path.unlink()  # this process has it mapped
        path.write_bytes(content[:kept])
    again = make()
    assert learn(again) == expected
    assert again.backend.startswith("c (")
    assert all(disk.find(path.name) is not None for path in folder.glob("*.plan"))


def test_a_sealed_file_of_another_form_is_made_again(folder: Path) -> None:
    expected = learn(make())
    (path,) = folder.glob("*.plan")
    disk.keep(path.name, lambda part: bool(part.write_bytes(b'{"buffers": 3}\n')) or None)
    assert learn(make()) == expected


def test_a_library_that_is_gone_is_compiled_again(folder: Path) -> None:
    expected = learn(make())
    for path in folder.glob("*.so"):
        path.unlink()
    again = make()
    assert learn(again) == expected
    assert again.backend.startswith("c (")


def test_a_folder_that_is_full_does_not_stop_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, write: Any) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "keep", refuse)
    step = make()
    learn(step)
    assert "No space left on device" in step.fallback


def test_the_folder_stays_within_its_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(make())
    monkeypatch.setattr(disk, "CACHE_BYTES", 60_000)
    learn(make("residual"), "residual")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 60_000


def numbers(*values: float) -> Graph:
    table = np.array(values, "float32")
    return trace(lambda x: x * Tensor(table), TensorType((len(values),), table.dtype))


def test_graphs_that_compute_alike_have_one_fingerprint() -> None:
    assert fingerprint(numbers(1, 2)) == fingerprint(numbers(1, 2))
    assert fingerprint(numbers(1, 2)) != fingerprint(numbers(1, 3))
    assert fingerprint(numbers(1, 2)) != fingerprint(numbers(1, 2, 3))


@pytest.mark.parametrize(
    "function",
    [lambda x: x.sum(0), lambda x: x.sum(0, keepdims=True), lambda x: x.transpose(0, 1).sum(1)],
)
def test_attributes_and_order_count(function: Any) -> None:
    kind = TensorType((3, 3), np.dtype("float32"))
    plain = trace(lambda x: x.sum(1), kind)
    assert fingerprint(trace(function, kind)) != fingerprint(plain)


def test_an_attribute_without_a_telling_text_has_no_fingerprint() -> None:
    graph = numbers(1, 2)
    graph.nodes[0].attrs = {"odd": object()}
    assert fingerprint(graph) is None


def test_a_kernel_that_gives_up_leaves_the_rest_to_references(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its reference has no complaint: so the results stand, and the interpreter goes on."""
    monkeypatch.setitem(EMITTERS, "softmax", lambda launch: one("GW_REFUSE();"))

    def f(x: Tensor) -> Tensor:
        return apply("softmax", x.cumsum(0), axis=-1).cumsum(0)

    model = CASES["mlp"].build().init(0)
    x = np.random.default_rng(0).standard_normal((5, 12)).astype("float32")
    run = Inference(model, function=lambda _, x: f(x))
    plain = Inference(model, function=lambda _, x: f(x), mode="interpreter")
    for _ in range(2):
        np.testing.assert_allclose(run(x), plain(x), rtol=1e-5)
    assert run.fallback == "a kernel of softmax refused numbers that its reference takes"
    assert run.backend.startswith("interpreter: ")
