"""How large a job may be. What a spec asks for is counted in whole numbers before it is made."""

from __future__ import annotations

from dataclasses import dataclass

from core.settings import Settings

GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """Caps on one job.

    max_layers_unrolled: layers times `accumulate`, for the program of a step holds every part.
    devices: what the workers have, where that is known; a job for another device is refused. Where
    it is not known, a job for cuda gets a warning.
    """

    max_parameters: int = 2**31
    max_layers: int = 1000
    max_layers_unrolled: int = 4000
    max_bytes: int = 64 * GIB
    max_steps: int = 100_000_000
    devices: tuple[str, ...] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        devices = None if settings.device == "auto" else ("cpu", settings.device.split(":")[0])
        return cls(
            max_parameters=settings.max_parameters,
            max_layers=settings.max_layers,
            devices=devices,
        )
