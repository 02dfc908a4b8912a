"""Memory in which a launch keeps what it makes of its weights, from one run of a plan to the next.

Arrays may be written to by anybody at any time, and nobody is told. So a copy of the weights is
kept as well, and compared with them in every run: what was made is used only while both have the
same bytes. Everything is made of the copy, never of the weights: so the two always belong together.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.backend.cpu.kernels import kept_pointer
from engine.backend.cpu.windows import round_up
from engine.compile.plan import Launch

LINE = 16  # numbers

#: Numbers of weights beyond which reading them twice costs what making anything of them does.
MOST_WEIGHTS = 1 << 18


@dataclass(frozen=True)
class Kept:
    """weights: how many numbers. made: numbers made of them. parts: each looks after its own."""

    weights: int
    made: int
    parts: int

    @property
    def nbytes(self) -> int:
        return 4 * (self._copied + round_up(self.made, LINE) + LINE * self.parts)

    def text(self, launch: Launch) -> str:
        """C for `copy` of the weights, and `packed`, which is made of them."""
        return f"""float* copy = (void*){kept_pointer(launch)};
float* packed = copy + {self._copied};
int32_t* known = (int32_t*)(packed + {round_up(self.made, LINE)});
(void)known;"""

    def renewed(self, start: str, count: str, body: str) -> str:
        """C that does `body` where `count` weights from `start` on are not those of last time."""
        return f"""if (gw_changed(known + {LINE} * part, x1 + {start}, {count}, copy + {start})) {{
{body}
gw_known(known + {LINE} * part);
}}"""

    @property
    def _copied(self) -> int:
        return round_up(self.weights, LINE)
