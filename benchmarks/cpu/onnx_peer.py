"""onnxruntime, for inference: the model of PyTorch, exported once."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnxruntime
import torch

from benchmarks.cpu.batches import batches
from benchmarks.cpu.program import Program
from benchmarks.cpu.rows import Row
from benchmarks.cpu.torch_models import filled


def program(row: Row, variant: str, threads: int) -> Program:
    given = [one["x"] for one in batches(row)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads if variant == "all_threads" else 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        exported(row, given[0]), options, providers=["CPUExecutionProvider"]
    )
    name, count = session.get_inputs()[0].name, len(given)
    run = session.run
    return Program(lambda n: run(None, {name: given[n % count]})[0], np.asarray)


def exported(row: Row, example: np.ndarray) -> bytes:
    model, file = filled(row.model).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.from_numpy(example),), file, opset_version=18, dynamo=False)
    return file.getvalue()
