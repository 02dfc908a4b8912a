"""Functions of C that launches of different lengths share."""

import numpy as np

from engine.backend.cpu.functions import Function, loose, loosened, taken
from engine.backend.cpu.source import Unit
from engine.compile.plan import make_plan
from engine.tensor import Tensor
from tests.engine.backend.cpu.programs import close, interpreted, of_function, run


def function(*bodies: str) -> Function:
    made = Function("k0", taken(bodies[0])[0], 5, ())
    for body in bodies:
        made.enter(taken(body)[1], parts=2)
    return made


def test_numbers_that_are_the_same_everywhere_stand_in_the_text() -> None:
    text = function(f"y[0] = x[{loose(3)}];", f"y[0] = x[{loose(3)}];").text()
    assert "y[0] = x[3];" in text
    assert "p[" not in text


def test_numbers_that_differ_are_read_behind_the_addresses_once_each() -> None:
    one, other = (
        f"f({loose(a)}, {loose(b)}, {loose(a)}, {loose(9)});" for a, b in ((1, 2), (3, 2))
    )
    made = function(one, other)
    assert "const int64_t n0 = (int64_t)p[5];" in made.text()
    assert "f(n0, 2, n0, 9);" in made.text()
    assert made.read(taken(other)[1]) == (3,)


def test_numbers_that_were_equal_by_chance_are_read_apart() -> None:
    made = function(f"f({loose(1)}, {loose(1)});", f"f({loose(1)}, {loose(2)});")
    assert "f(1, n0);" in made.text()
    assert [made.read(numbers) for numbers in ((1, 1), (1, 2))] == [(1,), (2,)]


def test_lengths_and_tables_are_never_loose() -> None:
    body = "static const int64_t tap[] = {1, 2};\nfloat s[16];\nf(p[3], x1 + 4, 0x1.8p-3f, 2.5f);"
    assert loosened(body) == body.replace("+ 4", f"+ {loose(4)}")
    assert loosened(f"f({loose(7)});") == f"f({loose(7)});"


def test_launches_of_different_lengths_share_their_functions() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(n, 300)).astype(np.float32) for n in (20, 7, 401)]

    def each(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = [(t * 2.0 + 1.0, (t * t).sum(), t.sum(1)) for t in tensors]
        return tuple(tensor for three in found for tensor in three)

    graph = of_function(each, arrays)
    calls = Unit(make_plan(graph).launches).calls
    names = [{phase[0] for phase in phases} for phases in calls]
    assert names[0] == names[len(names) // 3] == names[2 * len(names) // 3]
    for found, expected in zip(run(graph, arrays), interpreted(graph, arrays), strict=True):
        close(found, expected)


def test_exponents_are_parts_of_their_numbers() -> None:
    body = "const double v = 0x1.8000000000000p-3 * a0 + 0x1p+12; n * 64;"
    assert (
        loosened(body) == f"const double v = 0x1.8000000000000p-3 * a0 + 0x1p+12; n * {loose(64)};"
    )
