"""What recurrences should give: loops over single rows, and differences for their gradients."""

from typing import Any

import numpy as np
from scipy import special


def _steps(count: int, length: int, reverse: bool) -> list[int]:
    found = list(range(min(count, length)))
    return found[::-1] if reverse else found


def _row(kind: str, pre: Any, add: Any, states: Any) -> tuple[Any, Any]:
    """One step of one row from the two halves of its gates: (next states, what is kept)."""
    if kind == "lstm":
        i, f, g, o = np.split(pre + add, 4)
        i, f, g, o = special.expit(i), special.expit(f), np.tanh(g), special.expit(o)
        c = f * states[1] + i * g
        return [o * np.tanh(c), c], np.hstack([i, f, g, o])
    if kind == "gru":
        (a, b, c), (d, e, h_n) = np.split(pre, 3), np.split(add, 3)
        r, z = special.expit(a + d), special.expit(b + e)
        n = np.tanh(c + r * h_n)
        return [(1 - z) * n + z * states[0]], np.hstack([r, z, n, h_n])
    h = np.tanh(pre + add) if kind == "rnn_tanh" else np.maximum(pre + add, 0)
    return [h], h


def _forward(kind: str) -> Any:
    count = 2 if kind == "lstm" else 1

    def oracle(x: Any, *rest: Any, reverse: bool) -> tuple[Any, ...]:
        first, (w_ih, w_hh, b_ih, b_hh, *ends) = rest[:count], rest[count:]
        batch, steps, hidden = *x.shape[:2], w_hh.shape[1]
        y, before = np.zeros((2, batch, steps, hidden))
        cells, last = np.zeros((batch, steps, hidden)), [np.array(s) for s in first]
        kept = np.zeros((batch, steps, hidden * {"lstm": 4, "gru": 4}.get(kind, 1)))
        for b in range(batch):
            states = [s[b] for s in first]
            active = _steps(steps, int(ends[0][b]) if ends else steps, reverse)
            for t in range(steps)[:: -1 if reverse else 1]:
                before[b, t] = states[0]
                if t in active:
                    halves = w_ih @ x[b, t] + b_ih, w_hh @ states[0] + b_hh
                    states, kept[b, t] = _row(kind, *halves, states)
                    y[b, t] = states[0]
                cells[b, t] = states[-1]
            for array, state in zip(last, states, strict=True):
                array[b] = state
        return (y, *last, before, kept, *[cells] * (count - 1))

    return oracle


def _unsquashed(kind: str, kept: Any) -> tuple[Any, Any]:
    """The two halves of the gates from which a step kept such numbers."""
    if kind == "lstm":
        i, f, g, o = np.split(kept, 4)
        pre = np.hstack([special.logit(i), special.logit(f), np.arctanh(g), special.logit(o)])
        return pre, 0 * pre
    if kind == "gru":
        r, z, n, h_n = np.split(kept, 4)
        pre = np.hstack([special.logit(r), special.logit(z), np.arctanh(n) - r * h_n])
        return pre, np.hstack([0 * r, 0 * r, h_n])
    return np.arctanh(kept) if kind == "rnn_tanh" else np.where(kept > 0, kept, -1.0), 0 * kept


def _score(kind: str, flows: Any, b: int, w_hh: Any, kept: Any, states: Any, moved: Any) -> float:
    """Σ flows · results of one row, its gates and first states moved a little."""
    steps, shift, *firsts = moved
    states = [s + d for s, d in zip(states, firsts, strict=True)]
    # h is followed as a difference from the run that kept those numbers
    plain, score, hidden = None, 0.0, w_hh.shape[1]
    real = [s - d for s, d in zip(states, firsts, strict=True)]
    for t in steps:
        pre, add = _unsquashed(kind, kept[t])
        plain, _ = _row(kind, pre, add, real)
        change = w_hh @ (states[0] - real[0])
        if kind == "gru":
            more = np.hstack([shift[t, : 2 * hidden], 0 * shift[t, :hidden]])
            pre = pre + np.hstack([0 * shift[t, : 2 * hidden], shift[t, 2 * hidden : 3 * hidden]])
            more[2 * hidden :] = shift[t, 3 * hidden :]
            states, _ = _row(kind, pre, add + change + more, states)
        else:
            states, _ = _row(kind, pre + shift[t], add + change, states)
        real = plain
        score += float(flows[0][b, t] @ states[0])
    return score + sum(float(f[b] @ s) for f, s in zip(flows[1:], states, strict=True))


def _backward(kind: str) -> Any:
    count = 2 if kind == "lstm" else 1

    def oracle(*given: Any, reverse: bool) -> tuple[Any, ...]:
        flows, w_hh, kept, *rest = given[: 1 + count], *given[1 + count :]
        batch, steps, hidden = flows[0].shape
        looked = rest[: {"gru": 1, "lstm": 2}.get(kind, 0)]
        ends = rest[len(looked) :]
        made = [np.zeros(kept.shape), *np.zeros((count, batch, hidden))]
        for b in range(batch):
            active = _steps(steps, int(ends[0][b]) if ends else steps, reverse)
            states = [np.zeros(hidden)] * count
            if kind == "gru" and active:
                states = [looked[0][b, active[0]]]
            if kind == "lstm":
                states = [np.zeros(hidden), looked[0][b]]
            moves = [np.zeros((steps, kept.shape[2])), *np.zeros((count, hidden))]
            for which, move in enumerate(moves):
                for spot in np.ndindex(*move.shape):
                    found = []
                    for step in (1e-6, -1e-6):
                        move[spot] = step
                        args = (flows, b, w_hh, kept[b], states, (active, *moves))
                        found.append(_score(kind, *args))
                    move[spot] = 0.0
                    made[which][(b, *spot)] = (found[0] - found[1]) / 2e-6
        return made[0], made[0].sum((0, 1)), *made[1:]

    return oracle


KINDS = ("rnn_tanh", "rnn_relu", "gru", "lstm")
RECURRENT = {kind: _forward(kind) for kind in KINDS}
RECURRENT |= {f"{kind}_grad": _backward(kind) for kind in KINDS}


def _bag_of(offsets: Any, size: int) -> Any:
    return np.array([sum(o <= i for o in offsets) - 1 for i in range(size)], np.int64)


RECURRENT["bag_of"] = _bag_of
