"""C of scalar expressions."""

from engine.backend.cpu.pointwise import Statements
from engine.ops.scalar import argument, build


def text(*roots: object, kind: str = "float") -> str:
    made = Statements(roots, kind)  # type: ignore[arg-type]
    assert made.complete
    return "\n".join(made.lines[0])


def test_erf_and_its_bell_are_made_together() -> None:
    z = argument(0) * 0.5
    erf, bell = build("erf", z), build("exp", -build("square", z))
    for roots in ((erf, bell), (bell, erf), (erf * bell,)):
        made = text(*roots)
        assert made.count("gw_erf_bell(") == 1
        assert "gw_erf(" not in made
        assert "gw_exp(" not in made


def test_each_alone_is_made_alone() -> None:
    x, y = argument(0), argument(1)
    assert "bell" not in text(build("erf", x))
    assert "bell" not in text(build("exp", -build("square", x)))
    assert "bell" not in text(build("erf", x), build("exp", -build("square", y)))
    assert "bell" not in text(build("erf", x), build("exp", build("square", x)))


def test_doubles_are_left_to_the_c_library() -> None:
    x = argument(0)
    made = text(build("erf", x), build("exp", -build("square", x)), kind="double")
    assert "bell" not in made
