"""A model document becomes a network, and a line of the plan for every layer.

The walk carries the shape of one row from layer to layer and allocates nothing. Where a layer does
not fit, that is a problem, and the walk goes on from the next shape that is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import engine
from core.errors import Problem
from engine import Tensor, nn
from engine.errors import EngineError
from engine.ir.trace import trace
from spec.blueprints import Unfit
from spec.graph import GraphSpec, faults, in_order
from spec.inputs import Entry, Join, encoders, mixed
from spec.layers import Layer, Misfit, Signal
from spec.layers.blocks import Block, Residual
from spec.models import ModelSpec
from spec.network import GraphNetwork, LayerNetwork, Network
from spec.problems import pointer, under


@dataclass(frozen=True, slots=True)
class Line:
    """One layer of the plan. Shapes are of one row; flops are those of one row, forwards."""

    path: str
    name: str
    kind: str
    input_shapes: list[list[int]]
    output_shape: list[int]
    parameters: int
    flops: int


BLUEPRINT = "/model/blueprint"


@dataclass(slots=True)
class Assembly:
    """What came of a model: the network if every layer fits, else problems; the lines so far."""

    network: Network | None = None
    #: The model as it was walked through, a blueprint expanded.
    model: ModelSpec | None = None
    output: Signal | None = None
    #: Where the last layer stands, for problems of the output.
    last: str = ""
    lines: list[Line] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def assemble(
    model: ModelSpec, entries: Mapping[str, Entry | None], outputs: int | None
) -> Assembly:
    """The network of a model for these inputs.

    outputs: how wide the target wants the output of a blueprint. None, like an entry that is
    None, is not known because the data has a problem; the walk then goes as far as it can.
    """
    if model.graph is not None:
        return replace(of_graph(model.graph, entries, "/model/graph"), model=model)
    if model.layers is not None:
        return replace(of_layers(model.layers, entries, "/model/layers"), model=model)
    assert model.blueprint is not None
    signals = {name: entry.signal for name, entry in entries.items() if entry is not None}
    if outputs is None or len(signals) < len(entries):
        return Assembly(last=BLUEPRINT)
    try:
        document = model.blueprint.expand(signals, outputs)
    except Unfit as unfit:
        return Assembly(last=BLUEPRINT, problems=under([unfit.problem], BLUEPRINT))
    expanded = ModelSpec.model_validate({"layers": document})
    return _of_blueprint(replace(assemble(expanded, entries, outputs), model=expanded))


def _of_blueprint(found: Assembly) -> Assembly:
    """Its layers stand nowhere in the user's document, so problems point to the blueprint."""
    found.last = BLUEPRINT
    found.lines = [
        replace(line, path=line.path if line.path.startswith("/data/") else BLUEPRINT)
        for line in found.lines
    ]
    found.problems = [
        replace(one, pointer=one.pointer if one.pointer.startswith("/data/") else BLUEPRINT)
        for one in found.problems
    ]
    return found


def of_layers(layers: Sequence[Layer], entries: Mapping[str, Entry | None], at: str) -> Assembly:
    """The network of a list of layers, written at `at`; several inputs go in end to end.

    An entry that is None is an input of which nothing is known because its data has a problem.
    """
    walk = _Walk(at)
    walk.found.problems += mixed(entries)
    made = encoders(entries, layers)
    x = walk.join(walk.enter(entries, made))
    modules, output = walk.chain(layers, x, at)
    found = walk.found
    found.output, found.last = output, f"{at}/{len(layers) - 1}"
    if not found.problems and None not in entries.values():
        found.network = LayerNetwork(list(entries), made, modules)
    return found


def of_graph(graph: GraphSpec, entries: Mapping[str, Entry | None], at: str) -> Assembly:
    """The network of a graph, written at `at`; entries as in `of_layers`."""
    walk = _Walk(at + pointer(("nodes", graph.output)))
    found = walk.found
    found.problems += under(faults(graph, list(entries)), at)
    if any(problem.code != "unused" for problem in found.problems):
        return found
    made = encoders(entries, None)
    signals = walk.enter(entries, made)
    nodes: dict[str, nn.Module] = {}
    for name in in_order(graph):
        node = graph.nodes[name]
        taken = [signals[source] for source in node.sources]
        module, signals[name] = walk.layer(node.layer, taken, at + pointer(("nodes", name)), name)
        if module is not None:
            nodes[name] = module
    found.output = signals[graph.output]
    if not found.problems and None not in entries.values():
        sources = {name: graph.nodes[name].sources for name in nodes}
        found.network = GraphNetwork(list(entries), made, nodes, sources, graph.output)
    return found


class _Walk:
    """Goes from layer to layer with the shape of one row."""

    def __init__(self, last: str) -> None:
        self.found = Assembly(last=last)

    def enter(
        self, entries: Mapping[str, Entry | None], made: Mapping[str, nn.Module]
    ) -> dict[str, Signal | None]:
        """What each input is behind its encoder."""
        signals: dict[str, Signal | None] = {}
        for name, entry in entries.items():
            signals[name] = None if entry is None else entry.signal
            if entry is not None and name in made:
                at = pointer(("data", "inputs", name))
                kind = "one_hot" if entry.embedding is None else "embedding"
                signals[name] = self.run(made[name], [entry.signal], at, name, kind)
        return signals

    def join(self, signals: Mapping[str, Signal | None]) -> Signal | None:
        """All inputs as one."""
        known = [signal for signal in signals.values() if signal is not None]
        if len(known) < len(signals):
            return None
        if len(known) == 1:
            return known[0]
        return self.run(Join(), known, "/data/inputs", "inputs", "join")

    def chain(
        self, layers: Sequence[Layer], x: Signal | None, at: str
    ) -> tuple[list[nn.Module], Signal | None]:
        modules = []
        for index, layer in enumerate(layers):
            module, x = self.layer(layer, [x], f"{at}/{index}", str(index))
            if module is not None:
                modules.append(module)
        return modules, x

    def layer(
        self, layer: Layer, inputs: Sequence[Signal | None], at: str, name: str
    ) -> tuple[nn.Module | None, Signal | None]:
        """The module of a layer and what comes out; None for what is not known."""
        arguments = layer.arguments
        if isinstance(arguments, Block):
            return self.block(arguments, inputs[0], at, at + layer.main, name)
        known = [x for x in inputs if x is not None]
        outcome = arguments.outcome()
        expected = None if outcome is None else Signal(outcome)
        if len(known) < len(inputs):
            return None, expected
        try:
            module = arguments.join(known) if arguments.merges else arguments.make(known[0])
            return module, self.run(module, known, at, name, layer.kind)
        except Misfit as misfit:
            self.misfit(misfit, at)
        except EngineError as error:
            self.misfit(Misfit(str(error), ", ".join(map(str, known))), at)
        return None, expected

    def misfit(self, misfit: Misfit, at: str) -> None:
        problem = Problem(
            at, "misfit", str(misfit), expected=misfit.wanted, got=misfit.got, hint=misfit.hint
        )
        self.found.problems.append(problem)

    def run(
        self, module: nn.Module, inputs: Sequence[Signal], at: str, name: str, kind: str
    ) -> Signal:
        """What comes out of a module; a line of the plan is written."""
        graph = trace(module.eval(), *[x.batch(1) for x in inputs])
        module.train()
        (output,) = graph.outputs[:1]
        if output.type.size < 1:
            raise Misfit("nothing is left after it", ", ".join(map(str, inputs)))
        found = Signal(output.type.shape[1:], output.type.dtype)
        flops = sum(
            node.op.flops(*[value.type for value in node.inputs], **node.attrs)
            for node in graph.nodes
        )
        self.found.lines.append(
            Line(
                at,
                name,
                kind,
                [list(x.shape) for x in inputs],
                list(found.shape),
                module.num_parameters(),
                int(flops),
            )
        )
        return found

    # Layers made of layers

    def block(
        self, block: Block, x: Signal | None, at: str, inside: str, name: str
    ) -> tuple[nn.Module | None, Signal | None]:
        before = len(self.found.problems)
        modules, y = self.chain(block.layers, x, inside)
        whole = len(self.found.problems) == before and x is not None and y is not None
        if not isinstance(block, Residual):
            return (nn.Sequential(*modules) if whole else None), y
        if x is None or y is None or not whole:
            return None, y
        try:
            around = _around(block, x, y)
        except Misfit as misfit:
            self.misfit(misfit, at)
            return None, y
        self.run(_Around(around), [x, y], at, name, block.kind)
        return nn.Residual(nn.Sequential(*modules), around), y


class _Around(nn.Module):
    """The way around alone, to count what it costs."""

    def __init__(self, around: nn.Module) -> None:
        self.around = around

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return engine.add(y, self.around(x))


def _around(block: Residual, x: Signal, y: Signal) -> nn.Module:
    """The shortcut from x to y: nothing where the shape stays, else a projection."""
    if x.shape == y.shape and block.shortcut != "projection":
        return nn.Identity()
    got = f"{x}, and the layers inside make it {y}"
    if block.shortcut == "identity":
        hint = "use shortcut: projection, or layers that keep the shape"
        raise Misfit("an identity shortcut wants the same shape after the layers", got, hint)
    if x.ndim == y.ndim == 1:
        return nn.Linear(x.size, y.size, bias=False)
    strides = [_stride(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=False)]
    if x.ndim != y.ndim or x.ndim not in (2, 3, 4) or 0 in strides:
        hint = "use layers that keep the shape, or padding: same"
        raise Misfit("no projection leads from the one to the other", got, hint)
    made = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}[x.ndim]
    around: nn.Module = made(x.shape[0], y.shape[0], 1, stride=tuple(strides), bias=False)
    return around


def _stride(before: int, after: int) -> int:
    """The stride with which a window of 1 makes `after` of `before`; 0 where there is none."""
    stride = -(-before // after)
    return stride if -(-before // stride) == after else 0


__all__ = ["Assembly", "Line", "of_graph", "of_layers"]
