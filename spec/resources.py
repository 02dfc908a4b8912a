"""The `resources` part of a job spec: where a job runs, how long, and how soon."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from spec.parts import Part


class Resources(Part):
    """What a job may use."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"device": "cpu", "max_runtime_seconds": 3600}]}
    )

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where it runs; auto: the worker's best device.",
        examples=["cpu"],
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="CPU threads; the worker's choice where left out. Results do not depend on it.",
        examples=[2],
    )
    max_runtime_seconds: float = Field(
        default=86_400,
        gt=0,
        le=30 * 86_400,
        allow_inf_nan=False,
        description="The job is stopped after this long, over all attempts.",
        examples=[3600],
    )
    priority: int = Field(
        default=0,
        ge=-1000,
        le=1000,
        description="Jobs with a higher number run sooner.",
        examples=[0],
    )
    max_attempts: int = Field(
        default=5,
        ge=1,
        le=100,
        description="How often the job may begin again after its worker was lost.",
        examples=[5],
    )
