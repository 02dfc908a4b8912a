"""Recurrences over time. First the weights are packed, then rows of the batch run side by side."""

from __future__ import annotations

from engine.backend.cpu.dense import densified
from engine.backend.cpu.kernels import Kernel, Phase, declare, emitter, scratch_pointer
from engine.compile.plan import Launch

_CELLS = {"rnn_tanh": "GW_TANH", "rnn_relu": "GW_RELU", "gru": "GW_GRU", "lstm": "GW_LSTM"}
_BLOCKS = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
_HEADERS = ("gemm.h", "recurrent.h")
_TYPES = {"ends": "int64_t", "totals": "double"}
#: Rows of a part, at least: each step reads all weights once for them.
PART_ROWS = 16
MOST_PARTS = 16
#: Rows of a batch from which steps make their products with x; fewer do not repay reading weights.
STEP_ROWS = 8
#: Weights that are worth packing in parts.
PACK_PARTS, PACK_WORK = 4, 16_384
#: As in the runtime's headers: the widest vector, in floats, and the gap between rows of the flow.
_WIDE = _GAP = 16


@emitter(*_CELLS)
def forward(launch: Launch) -> Kernel | None:
    return densified(launch, _forward) if _covered(launch) else None


@emitter(*(f"{name}_grad" for name in _CELLS))
def backward(launch: Launch) -> Kernel | None:
    return densified(launch, _backward) if _covered(launch) else None


def _covered(launch: Launch) -> bool:
    return launch.outputs[0].type.dtype.name == "float32"


def _rows(batch: int) -> tuple[int, int]:
    """(parts, rows of a part)."""
    parts = max(1, min(batch // PART_ROWS, MOST_PARTS))
    size = -(-batch // parts)
    return -(-batch // size), size


def _up(count: int) -> int:
    return -(-count // _WIDE) * _WIDE


def _memory(launch: Launch, sizes: dict[str, int]) -> tuple[str, int]:
    """Stretches of scratch memory by name, in floats; see `_TYPES`."""
    lines, base = [], 0
    for name, size in sizes.items():
        kind = _TYPES.get(name, "float")
        place = f"{kind}* {name} = (void*)({scratch_pointer(launch)} + {4 * base}); (void){name};"
        lines.append(place)
        base += _up(size)
    return "\n".join(lines), 4 * base


def _ends(place: int, given: bool, batch: int) -> str:
    """Lines that copy the lengths to `ends`."""
    if not given:
        return ""
    return f"if (part == 0) for (int64_t i = 0; i < {batch}; i++) ends[i] = (int64_t)x{place}[i];"


def _forward(launch: Launch) -> Kernel:
    name = launch.name
    states = 2 if name == "lstm" else 1
    x, h0 = launch.inputs[0].type, launch.inputs[1].type
    (batch, steps, features), hidden = x.shape, h0.shape[1]
    place = 5 + states
    masked, blocks = len(launch.inputs) > place, _BLOCKS[name]
    kept = _kept(name)
    parts, size = _rows(batch)
    within = features if batch >= STEP_ROWS else 0
    memory, scratch = _memory(
        launch,
        {
            "panels": (kept + blocks * (within + hidden)) * _up(hidden),
            "ends": 2 * batch if masked else 0,
            "work": 3 * batch * hidden,
        },
    )
    head = f"{declare(launch)}\n{memory}"
    w = 1 + states
    packing = _packing(blocks * hidden * (within + hidden))
    first = f"""{head}
{_ends(place, masked, batch)}
const GwStepWeights w = {{{within}, {hidden}, x{w}, x{w + 1}, x{w + 2}, x{w + 3}}};
gw_pack_step({_CELLS[name]}, &w, part, {packing}, panels);"""
    line, state = f"b * {steps * hidden}", f"b * {hidden}"
    extra = f"y{states + 3} + {line}" if states == 2 else "0"
    run = f"""{head}
const int64_t b = part * {size};
const GwRecurrence r = {{
GW_MIN({size}, {batch} - b), {steps}, {within}, {hidden}, {int(launch.attrs["reverse"])},
{"ends + b" if masked else "0"}, x0 + b * {steps * features}, panels,
x1 + {state}, {f"x2 + {state}" if states == 2 else "0"},
y0 + {line}, y1 + {state}, {f"y2 + {state}" if states == 2 else "0"},
y{states + 1} + {line}, y{states + 2} + {line} * {kept}, {extra}, work + 3 * {state}}};
{"" if within else _products(features, blocks, kept, w)}
gw_recurrent_forward({_CELLS[name]}, &r);"""
    return Kernel((Phase(first, packing), Phase(run, parts)), scratch, _HEADERS)


def _products(features: int, blocks: int, kept: int, weight: int) -> str:
    """The products of all steps with x, at once."""
    return (
        f"gw_gemm(r.rows * r.steps, {blocks} * r.hidden, {features}, r.x, {features}, 1, "
        f"x{weight}, 1, {features}, r.kept, {kept} * r.hidden, 0, 0);"
    )


def _kept(name: str) -> int:
    """Blocks of columns that a step keeps."""
    return 4 if _BLOCKS[name] > 1 else 1


def _packing(weights: int) -> int:
    return PACK_PARTS if weights > PACK_WORK else 1


def _backward(launch: Launch) -> Kernel:
    name = launch.name.removesuffix("_grad")
    states = 2 if name == "lstm" else 1
    batch, steps, hidden = launch.inputs[0].type.shape
    weights, blocks, kept = 1 + states, _BLOCKS[name], _kept(name)
    looked = {"gru": 1, "lstm": 2}.get(name, 0)
    place = weights + 2 + looked
    masked = len(launch.inputs) > place
    parts, size = _rows(batch)
    row = _up(hidden) + (blocks + 1) * hidden + _GAP
    memory, scratch = _memory(
        launch,
        {
            "panels": blocks * hidden * _up(hidden),
            "ends": 2 * batch if masked else 0,
            "totals": 2 * parts * kept * hidden,
            "work": batch * row + parts * kept * hidden,
        },
    )
    head = f"{declare(launch)}\n{memory}"
    packing = _packing(blocks * hidden * hidden)
    first = f"""{head}
{_ends(place, masked, batch)}
gw_pack_back({_CELLS[name]}, {hidden}, x{weights}, part, {packing}, panels);"""
    line, state = f"b * {steps * hidden}", f"b * {hidden}"
    seen = {
        "gru": f"x{weights + 2} + {line}, 0, 0",
        "lstm": f"0, x{weights + 2} + {state}, x{weights + 3} + {line}",
    }.get(name, "0, 0, 0")
    run = f"""{head}
const int64_t b = part * {size};
const GwRecurrenceBack r = {{
GW_MIN({size}, {batch} - b), {steps}, {hidden}, {int(launch.attrs["reverse"])},
{"ends + b" if masked else "0"}, x0 + {line}, x1 + {state},
{f"x2 + {state}" if states == 2 else "0"}, panels, x{weights + 1} + {line} * {kept}, {seen},
y0 + {line} * {kept}, y2 + {state}, {f"y3 + {state}" if states == 2 else "0"},
work + b * {row} + part * {kept * hidden}, totals + part * {kept * hidden}}};
gw_recurrent_backward({_CELLS[name]}, &r);"""
    last = f"""{head}
for (int64_t j = 0; j < {kept * hidden}; j++) {{
double sum = 0;
for (int64_t q = 0; q < {parts}; q++) sum += totals[q * {kept * hidden} + j];
y1[j] = (float)sum;
}}"""
    return Kernel((Phase(first, packing), Phase(run, parts), Phase(last)), scratch, _HEADERS)
