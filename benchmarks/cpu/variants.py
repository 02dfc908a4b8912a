"""The settings of each peer that a row may run fastest with; the first is the plainest."""

from __future__ import annotations

from benchmarks.cpu.rows import Row

IMAGES = ("cnn", "resnet18")
CONVOLUTIONS = (*IMAGES, "audio")


def variants(peer: str, row: Row) -> tuple[str, ...]:
    if peer == "torch_eager":
        return ("contiguous", "channels_last") if row.model in IMAGES else ("contiguous",)
    if peer == "torch_compile":
        return compiled(row)
    if peer == "jax":
        return ("channels_last", "channels_first") if row.model in CONVOLUTIONS else ("plain",)
    if peer == "onnxruntime":
        return ("all_threads", "one_thread")
    return ("c",)


def compiled(row: Row) -> tuple[str, ...]:
    """Layouts, whether the optimizer is compiled too, and whether the caller is C++."""
    if row.model in IMAGES and row.trains:
        return ("contiguous", "channels_last")
    if not row.trains:
        return ("contiguous", "cpp_wrapper", "max_autotune cpp_wrapper")
    if row.model == "gpt":
        return ("contiguous", "whole_step")
    return ("contiguous", "whole_step", "max_autotune", "whole_step cpp_wrapper")
