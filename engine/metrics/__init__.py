"""Metrics: numbers about a model's outputs, counted batch by batch."""

from engine.metrics.classes import F1, Accuracy, ConfusionMatrix, Precision, Recall, TopK
from engine.metrics.mean import MAE, MSE, R2, RMSE, Mean, Perplexity
from engine.metrics.metric import Metric
from engine.metrics.ranking import AUROC, AveragePrecision, LogLoss

__all__ = [
    "AUROC",
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "LogLoss",
    "Mean",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "TopK",
]
