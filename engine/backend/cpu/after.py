"""What a convolution does to its numbers before they are stored: `GwAfter` of `runtime/conv.h`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class After:
    """roles: of the inputs from the third on, see `engine.ops.fused_conv`."""

    roles: tuple[str, ...] = ()
    relu: bool = False

    def text(self, channel: str, place: str) -> str:
        """C for a `GwAfter` that begins at a channel and at a place of the result."""
        fields = [
            f"{self._name(role)} + {place if role == 'more' else channel}"
            if role in self.roles
            else "0"
            for role in ("scale", "shift", "more")
        ]
        low = "0" if self.relu else "-INFINITY"
        return f"const GwAfter after = {{{', '.join([*fields, low])}}};"

    def steps(self, channel: str, place: str) -> tuple[str, list[str]]:
        """C for what a sum `v` begins with, and what is done to it; from indices in brackets."""
        shift = f"{self._name('shift')}{channel}" if "shift" in self.roles else "0.0f"
        lines = []
        if "scale" in self.roles:
            lines.append(f"v = v * {self._name('scale')}{channel} + {shift};")
            shift = "0.0f"
        if "more" in self.roles:
            lines.append(f"v += {self._name('more')}{place};")
        if self.relu:
            lines.append("v = v < 0 ? 0 : v;")
        return shift, lines

    def _name(self, role: str) -> str:
        return f"x{2 + self.roles.index(role)}"


NOTHING = After()
