"""Job documents for the tests of the spec: functions with keyword overrides."""

from typing import Any

IMAGE = {"type": "image", "columns": "pixel_*", "shape": [1, 8, 8], "scale": 16}


def digits(**parts: Any) -> dict[str, Any]:
    """A small job on images; `model`, `train`, … replace its parts."""
    document: dict[str, Any] = {
        "name": "digits",
        "data": {
            "dataset": "digits",
            "inputs": {"image": dict(IMAGE)},
            "target": {"type": "category", "column": "label"},
        },
        "model": {"layers": ["flatten", {"linear": 16}, "relu", {"linear": 10}]},
    }
    return document | parts


def layers(*items: Any, **parts: Any) -> dict[str, Any]:
    return digits(model={"layers": list(items)}, **parts)


def train(**fields: Any) -> dict[str, Any]:
    return digits(train=fields)


def people(**parts: Any) -> dict[str, Any]:
    """A job on a table: two numbers and a category in, a number out."""
    document: dict[str, Any] = {
        "name": "people",
        "data": {
            "dataset": "people",
            "inputs": {
                "size": {"type": "number", "columns": ["height", "weight"]},
                "job": {"type": "category", "column": "job", "embedding": 3},
            },
            "target": {"type": "number", "column": "age"},
        },
        "model": {"layers": [{"linear": 8}, "relu", {"linear": 1}]},
    }
    return document | parts
