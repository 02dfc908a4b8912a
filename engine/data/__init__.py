"""Datasets, the order of their rows, and the loader that makes batches of them."""

from engine.data.dataset import ArrayDataset, Batch, Dataset, SampleDataset, default_collate
from engine.data.loader import Batches, DataLoader
from engine.data.order import permutation
from engine.data.samplers import (
    BucketSampler,
    DistributedSampler,
    Sampler,
    SequentialSampler,
    ShuffledSampler,
    StratifiedSampler,
    WeightedSampler,
)

__all__ = [
    "ArrayDataset",
    "Batch",
    "Batches",
    "BucketSampler",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "SampleDataset",
    "Sampler",
    "SequentialSampler",
    "ShuffledSampler",
    "StratifiedSampler",
    "WeightedSampler",
    "default_collate",
    "permutation",
]
