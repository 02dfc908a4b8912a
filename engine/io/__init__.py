"""Files: safetensors for arrays, checkpoints with a manifest."""

from engine.io import checkpoint, safetensors

__all__ = ["checkpoint", "safetensors"]
