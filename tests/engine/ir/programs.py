"""Random programs of tensors, and ways of running them that must agree to the bit."""

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st

import engine
from engine.compile.interpreter import Interpreter
from engine.compile.plan import make_plan
from engine.ir.graph import Graph, TensorType
from engine.ir.passes.memory import plan_memory
from engine.ir.passes.overlap import check_memory
from engine.ir.verify import verify
from engine.tensor import Tensor

Instruction = tuple[int, int, int, int]
Program = list[Instruction]
LIMIT = 2048  # elements of a tensor


def _broadcast(x: Tensor, y: Tensor) -> bool:
    try:
        return bool(np.prod(np.broadcast_shapes(x.shape, y.shape)) <= LIMIT)
    except ValueError:
        return False


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor | None]:
    return lambda x, y, c: function(x, y) if _broadcast(x, y) else None


def _matmul(x: Tensor, y: Tensor, c: int) -> Tensor | None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[0]:
        return None
    return x @ y


def _gram(x: Tensor, y: Tensor, c: int) -> Tensor | None:
    return x @ x.transpose(0, 1) if x.ndim == 2 else None


def _transpose(x: Tensor, y: Tensor, c: int) -> Tensor | None:
    return x.permute(*np.roll(range(x.ndim), c % x.ndim).tolist()) if x.ndim > 1 else None


def _reshape(x: Tensor, y: Tensor, c: int) -> Tensor:
    size = x.size
    first = next(n for n in range(c % 7 + 1, size + 8) if size % n == 0 or n > size)
    return x.reshape(first, size // first) if size and size % first == 0 else x.reshape(size)


def _slice(x: Tensor, y: Tensor, c: int) -> Tensor | None:
    if not x.ndim or x.shape[0] < 2:
        return None
    return (x[1:], x[::2], x[::-1], x[:-1])[c % 4]


def _expand(x: Tensor, y: Tensor, c: int) -> Tensor | None:
    return engine.expand(x, (c % 3 + 1, *x.shape)) if x.size * 3 <= LIMIT and x.ndim < 4 else None


def _cat(x: Tensor, y: Tensor, c: int) -> Tensor | None:
    if x.ndim == 0 or x.shape[1:] != y.shape[1:] or x.ndim != y.ndim or x.size + y.size > LIMIT:
        return None
    return engine.cat([x, y])


def _sum(x: Tensor, y: Tensor, c: int) -> Tensor:
    return x.sum(c % x.ndim, keepdims=bool(c // 8 % 2)) if x.ndim else x.sum()


INSTRUCTIONS: list[Callable[[Tensor, Tensor, int], Tensor | None]] = [
    _binary(lambda x, y: x + y),
    _binary(lambda x, y: x * y),
    _binary(lambda x, y: x - y),
    _binary(lambda x, y: engine.maximum(x, y)),
    _binary(lambda x, y: x / (y * y + 1.0)),
    lambda x, y, c: x * 1.0,
    lambda x, y, c: x + (0.0, -0.0)[c % 2],
    lambda x, y, c: x - 0.0,
    lambda x, y, c: x * 0.5,
    lambda x, y, c: x.tanh(),
    lambda x, y, c: x.relu(),
    lambda x, y, c: x.sigmoid(),
    lambda x, y, c: -x,
    lambda x, y, c: x.to("float64").to("float32"),
    lambda x, y, c: x.detach(),
    lambda x, y, c: x.contiguous(),
    _matmul,
    _gram,
    _transpose,
    _transpose,
    _reshape,
    _reshape,
    _slice,
    _expand,
    _cat,
    _sum,
    lambda x, y, c: x.softmax(c % x.ndim) if x.ndim else None,
]

shapes = st.sampled_from([(), (1,), (5,), (4, 3), (3, 4), (2, 3, 4), (4, 4), (1, 6)])
programs: st.SearchStrategy[Program] = st.lists(
    st.tuples(
        st.integers(0, len(INSTRUCTIONS) - 1),
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    min_size=1,
    max_size=14,
)
inputs = st.lists(shapes, min_size=1, max_size=3)


def arrays(shapes: Sequence[tuple[int, ...]], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def types(shapes: Sequence[tuple[int, ...]]) -> list[TensorType]:
    return [TensorType(shape, np.dtype("float32")) for shape in shapes]


def function(program: Program, *, scalar: bool = False) -> Callable[..., list[Tensor]]:
    """The function that a program is: it returns the last few tensors, or a scalar of them all."""

    def run(*tensors: Tensor) -> list[Tensor]:
        pool = list(tensors)
        for kind, a, b, c in program:
            made = INSTRUCTIONS[kind](pool[a % len(pool)], pool[b % len(pool)], c)
            if made is not None:
                pool.append(made)
        if not scalar:
            return pool[-3:]
        total = (pool[-1] * 0.25).sum()
        for tensor in pool[:-1]:
            total = total + (tensor * tensor).sum()
        return [total]

    return run


def interpret(graph: Graph, given: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Check a graph and its memory, and run it."""
    verify(graph)
    check_memory(graph, plan_memory(graph))
    return [np.array(a) for a in Interpreter(make_plan(graph), {}).run(given)]


def same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert one.tobytes() == np.ascontiguousarray(other).tobytes()
