"""The compiled CPU step beside its peers: `python -m benchmarks.cpu [--json FILE]`.

rows.py says what is measured and what must hold; weights.py and batches.py give every peer the same
numbers; ours.py, torch_*.py, jax_*.py and onnx_peer.py do the work, each in its own process behind
worker.py; race.py lets them take turns, and report.py counts.
"""
