"""Write scikit-learn's handwritten digits as digits.csv: pixel_0 … pixel_63 and digit."""

import csv
from pathlib import Path

from sklearn.datasets import load_digits

digits = load_digits()
path = Path(__file__).with_name("digits.csv")
with path.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow([*(f"pixel_{n}" for n in range(64)), "digit"])
    for pixels, digit in zip(digits.data.astype(int), digits.target, strict=True):
        writer.writerow([*pixels, digit])
print(f"wrote {path}: {len(digits.target)} rows")
