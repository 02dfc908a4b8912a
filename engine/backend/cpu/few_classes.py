"""Cross-entropy over few classes: sixteen rows side by side, a class after the other.

A row of few scores fills no vector, and each of its sums waits for the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.backend.cpu.kernels import Kernel, Phase, cut, declare, literal, strides_of
from engine.compile.plan import Launch, Slot

#: Rows side by side, and classes from which a row is worth a vector of its own.
ROWS, MANY = 16, 32
_EACH = f"GW_IVDEP\nfor (int l = 0; l < {ROWS}; l++)"


def fits(scores: Slot) -> bool:
    """Whether scores are a table of few columns."""
    return scores.type.ndim == 2 and scores.type.shape[1] < MANY


@dataclass(frozen=True, slots=True)
class Shares:
    """What classes get of a target, as C. first: the place of the scores among the inputs."""

    launch: Launch
    first: int
    kind: str

    @property
    def smoothing(self) -> float:
        return float(self.launch.attrs["smoothing"])

    def own(self, place: str) -> str:
        """The target, beside what all get."""
        return self._weighted(place, 1 - self.smoothing)

    def each(self) -> str:
        """Class j, of the smoothing."""
        classes = self.launch.inputs[self.first].type.shape[1]
        return self._weighted("j", self.smoothing / classes)

    def _weighted(self, place: str, rate: float) -> str:
        number = literal(rate, self.kind)
        if len(self.launch.inputs) < self.first + 3:
            return number
        (step,) = strides_of(self.launch.inputs[self.first + 2])
        return f"x{self.first + 2}[{place} * {step}] * {number}"


@dataclass(frozen=True, slots=True)
class FewClasses:
    """C for cross-entropy or its gradient. first: the place of the scores among the inputs.

    kind, exp, log: type of the numbers, and what its functions are called.
    """

    launch: Launch
    first: int
    kind: str
    exp: str
    log: str

    def kernel(self) -> Kernel:
        scores = self._scores
        rows, classes = scores.type.shape
        parts, size = cut(rows, 14 * scores.type.size, ROWS)
        down, along = strides_of(scores)
        (step,) = strides_of(self.launch.inputs[self.first + 1])
        kind, x, target = self.kind, f"x{self.first}", f"x{self.first + 1}"
        body = f"""{declare(self.launch)}
enum {{ classes = {classes} }};
{kind} s[classes][{ROWS}], top[{ROWS}], sum[{ROWS}], own[{ROWS}], rest[{ROWS}];
int32_t t[{ROWS}], counts[{ROWS}];
for (int64_t u = part * {size}; u < GW_MIN(part * {size} + {size}, {rows}); u += {ROWS}) {{
const int64_t rows = GW_MIN({ROWS}, {rows} - u);
for (int64_t l = 0; l < {ROWS}; l++) {{ /* those that are missing are the last once more */
const int64_t r = u + GW_MIN(l, rows - 1), of = (int64_t){target}[r * {step}];
counts[l] = of != {self.launch.attrs["ignore_index"]};
if (counts[l] && (of < 0 || of >= classes)) {{ GW_REFUSE(); return; }}
t[l] = counts[l] ? (int32_t)of : 0;
for (int64_t j = 0; j < classes; j++) s[j][l] = {x}[r * {down} + j * {along}];
}}
{_EACH} {{ top[l] = s[0][l]; sum[l] = rest[l] = 0; }}
for (int64_t j = 1; j < classes; j++) {{
{_EACH} top[l] = s[j][l] > top[l] || s[j][l] != s[j][l] ? s[j][l] : top[l];
}}
for (int64_t l = 0; l < {ROWS}; l++) own[l] = {self._shares.own("t[l]")};
{self._gradient() if self.first else self._loss()}
}}"""
        return Kernel((Phase(body, parts),))

    @property
    def _scores(self) -> Slot:
        return self.launch.inputs[self.first]

    @property
    def _shares(self) -> Shares:
        return Shares(self.launch, self.first, self.kind)

    def _loss(self) -> str:
        kind, (step,) = self.kind, strides_of(self.launch.outputs[0])
        lines = [
            "for (int64_t j = 0; j < classes; j++) {",
            f"{_EACH} sum[l] += {self.exp}(s[j][l] - top[l]);",
            "}",
            f"{_EACH} sum[l] = {self.log}(sum[l]);",
        ]
        if self._shares.smoothing:
            lines += [
                "for (int64_t j = 0; j < classes; j++) {",
                f"const {kind} share = {self._shares.each()};",
                f"{_EACH} rest[l] += (sum[l] - (s[j][l] - top[l])) * share;",
                "}",
            ]
        lines += [
            "for (int64_t l = 0; l < rows; l++)",
            f"y0[(u + l) * {step}] = "
            "((sum[l] - (s[t[l]][l] - top[l])) * own[l] + rest[l]) * counts[l];",
        ]
        return "\n".join(lines)

    def _gradient(self) -> str:
        """s: the exponentials, then the gradient; top: what divides them; rest: the flow."""
        kind, (down, along) = self.kind, strides_of(self.launch.outputs[0])
        (flow,) = strides_of(self.launch.inputs[0])
        lines = [
            "for (int64_t j = 0; j < classes; j++) {",
            f"{_EACH} {{ s[j][l] = {self.exp}(s[j][l] - top[l]); sum[l] += s[j][l]; }}",
            "}",
            f"{kind} all = 0;",
            f"for (int64_t l = 0; l < {ROWS}; l++)",
            f"rest[l] = x0[(u + GW_MIN(l, rows - 1)) * {flow}] * counts[l];",
        ]
        if self._shares.smoothing:
            lines.append(f"for (int64_t j = 0; j < classes; j++) all += {self._shares.each()};")
        share = f"const {kind} share = {self._shares.each() if self._shares.smoothing else '0'};"
        lines += [
            f"{_EACH} top[l] = (own[l] + all) / sum[l];",
            f"for (int64_t j = 0; j < classes; j++) {{ {share}",
            f"{_EACH} s[j][l] = (s[j][l] * top[l] - share - (j == t[l] ? own[l] : 0)) * rest[l];",
            "}",
            "for (int64_t l = 0; l < rows; l++) for (int64_t j = 0; j < classes; j++)",
            f"y0[(u + l) * {down} + j * {along}] = s[j][l];",
        ]
        return "\n".join(lines)
