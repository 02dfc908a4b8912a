"""The engine module of a whole model: rows by input name in, its output out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine import Tensor, nn
from spec.inputs import Join


class Network(nn.Module):
    """inputs: the names of what goes in. encoders: what turns codes of categories into numbers."""

    def __init__(self, inputs: Sequence[str], encoders: Mapping[str, nn.Module]) -> None:
        self.names = tuple(inputs)
        self.inputs = nn.ModuleDict(encoders)

    def entered(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: self.inputs[name](batch[name]) if name in self.inputs else batch[name]
            for name in self.names
        }


class LayerNetwork(Network):
    """Layers one after the other; several inputs are put end to end first."""

    def __init__(
        self,
        inputs: Sequence[str],
        encoders: Mapping[str, nn.Module],
        layers: Sequence[nn.Module],
    ) -> None:
        super().__init__(inputs, encoders)
        self.join = Join()
        self.layers = nn.ModuleList(layers)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        entered = list(self.entered(batch).values())
        x: Tensor = entered[0] if len(entered) == 1 else self.join(*entered)
        for layer in self.layers:
            x = layer(x)
        return x


class GraphNetwork(Network):
    """Named nodes, in an order in which each comes after those that it takes."""

    def __init__(
        self,
        inputs: Sequence[str],
        encoders: Mapping[str, nn.Module],
        nodes: Mapping[str, nn.Module],
        sources: Mapping[str, Sequence[str]],
        output: str,
    ) -> None:
        super().__init__(inputs, encoders)
        self.nodes = nn.ModuleDict(nodes)
        self.sources = {name: tuple(taken) for name, taken in sources.items()}
        self.output = output

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        values = self.entered(batch)
        for name, taken in self.sources.items():
            values[name] = self.nodes[name](*[values[source] for source in taken])
        return values[self.output]
