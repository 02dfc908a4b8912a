"""Recurrences over time. First the weights are packed, then rows of the batch run side by side."""

from __future__ import annotations

from engine.backend.cpu.dense import densified
from engine.backend.cpu.kernels import Kernel, Phase, declare, emitter, scratch_pointer
from engine.compile.plan import Launch

_CELLS = {"rnn_tanh": "GW_TANH", "rnn_relu": "GW_RELU", "gru": "GW_GRU", "lstm": "GW_LSTM"}
_BLOCKS = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}
_HEADERS = ("vectors.h", "recurrent.h")
#: Rows of a part, at least: each step reads all weights once for them.
PART_ROWS = 16
MOST_PARTS = 16
#: Weights that are worth packing in parts.
PACK_PARTS, PACK_WORK = 4, 16_384
_WIDE = 32  # the widest panel of any processor, in floats


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
    """Stretches of scratch memory by name, in floats; `ends` holds int64."""
    lines, base = [], 0
    for name, size in sizes.items():
        kind = "int64_t" if name == "ends" else "float"
        place = f"{kind}* {name} = (void*)({scratch_pointer(launch)} + {4 * base}); (void){name};"
        lines.append(place)
        base += _up(size)
    return "\n".join(lines), 4 * base


def _ends(place: int, given: bool, batch: int) -> str:
    """Lines that copy the lengths to `ends`."""
    if not given:
        return ""
    return f"if (part == 0) for (int64_t i = 0; i < {batch}; i++) ends[i] = (int64_t)x{place}[i];"


def _pack(call: str, width: str, hidden: int, parts: int) -> str:
    return f"""const int64_t count = ({hidden} + {width} - 1) / {width};
{call.format(f"count * part / {parts}", f"count * (part + 1) / {parts}")}"""


def _forward(launch: Launch) -> Kernel:
    name = launch.name
    states = 2 if name == "lstm" else 1
    x, h0 = launch.inputs[0].type, launch.inputs[1].type
    (batch, steps, features), hidden = x.shape, h0.shape[1]
    place = 5 + states
    masked, blocks = len(launch.inputs) > place, _BLOCKS[name]
    parts, size = _rows(batch)
    memory, scratch = _memory(
        launch,
        {
            "panels": blocks * hidden * _up(hidden),
            "bias": 4 * hidden,
            "ends": 2 * batch if masked else 0,
            "work": 3 * batch * hidden,
        },
    )
    head = f"{declare(launch)}\n{memory}"
    weights = 1 + states
    packing = PACK_PARTS if blocks * hidden * hidden > PACK_WORK else 1
    call = f"gw_pack_step({_CELLS[name]}, {hidden}, x{weights + 1}, {{}}, {{}}, panels);"
    first = "\n".join(
        [
            head,
            f"if (part == 0) {{ {_biases(name, hidden, weights)} }}",
            _ends(place, masked, batch),
            _pack(call, "GW_LANES", hidden, packing),
        ]
    )
    line = f"b * {steps * hidden}"
    kept = 4 if blocks > 1 else 1
    extra = f"y{states + 3} + {line}" if states == 2 else "0"
    state = f"b * {hidden}"
    run = f"""{head}
const int64_t b = part * {size};
const GwRecurrence r = {{
GW_MIN({size}, {batch} - b), {steps}, {features}, {hidden}, {int(launch.attrs["reverse"])},
{"ends + b" if masked else "0"}, x0 + b * {steps * features}, x{weights}, bias, panels,
x1 + {state}, {f"x2 + {state}" if states == 2 else "0"},
y0 + {line}, y1 + {state}, {f"y2 + {state}" if states == 2 else "0"},
y{states + 1} + {line}, y{states + 2} + {line} * {kept}, {extra}, work + 3 * {state}}};
gw_recurrent_forward({_CELLS[name]}, &r);"""
    return Kernel((Phase(first, packing), Phase(run, parts)), scratch, _HEADERS)


def _biases(name: str, hidden: int, weights: int) -> str:
    """Both biases added, but for the new gate of a GRU, where the second one is kept apart."""
    own, other = f"x{weights + 2}", f"x{weights + 3}"
    if name != "gru":
        count = _BLOCKS[name] * hidden
        return f"for (int64_t i = 0; i < {count}; i++) bias[i] = {own}[i] + {other}[i];"
    return (
        f"for (int64_t i = 0; i < {2 * hidden}; i++) bias[i] = {own}[i] + {other}[i];\n"
        f"for (int64_t i = {2 * hidden}; i < {3 * hidden}; i++) "
        f"{{ bias[i] = {own}[i]; bias[i + {hidden}] = {other}[i]; }}"
    )


def _backward(launch: Launch) -> Kernel:
    name = launch.name.removesuffix("_grad")
    states = 2 if name == "lstm" else 1
    batch, steps, hidden = launch.inputs[0].type.shape
    weights, blocks = 1 + states, _BLOCKS[name]
    looked = {"gru": 1, "lstm": 2}.get(name, 0)
    place = weights + 2 + looked
    masked = len(launch.inputs) > place
    parts, size = _rows(batch)
    row = _up(hidden) + (blocks + 1) * hidden
    memory, scratch = _memory(
        launch,
        {
            "panels": blocks * hidden * _up(hidden),
            "ends": 2 * batch if masked else 0,
            "work": batch * row,
        },
    )
    head = f"{declare(launch)}\n{memory}"
    packing = PACK_PARTS if blocks * hidden * hidden > PACK_WORK else 1
    call = f"gw_pack_back({blocks * hidden}, {hidden}, x{weights}, {{}}, {{}}, panels);"
    first = (
        f"{head}\n{_ends(place, masked, batch)}\n{_pack(call, 'GW_BACK_WIDTH', hidden, packing)}"
    )
    line, state, kept = f"b * {steps * hidden}", f"b * {hidden}", 4 if blocks > 1 else 1
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
y0 + {line} * {kept}, y1 + {state}, {f"y2 + {state}" if states == 2 else "0"}, work + b * {row}}};
gw_recurrent_backward({_CELLS[name]}, &r);"""
    return Kernel((Phase(first, packing), Phase(run, parts)), scratch, _HEADERS)
