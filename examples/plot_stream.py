# SPDX-License-Identifier: BSD-3-Clause
"""
===================
A stream that moves
===================

Rows come in batches, and the known classes move slowly. A detector that was fitted
once, on the first batches, refuses more and more of them. One that goes on with
``partial_fit`` learns the new rows and sets its threshold again after every batch, on
rows that it held out of the whole stream. Some of these are old, so it accepts more
than the 95 % it was asked for, also of unknown rows. Each batch is decided on before it
is learnt.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from confident_clf import ConfidentClassifier, OODDetector

OUTPUT = Path("output")
N_BATCHES, N_FIRST, N_ROWS = 30, 10, 150
CENTERS = 3 * np.eye(3, 6)  # three classes in six features

# %%
# Data
# ----


def batches():
    """Yield known rows and their labels, and unknown rows; the known ones move."""
    rng = np.random.default_rng(0)
    for i in range(N_BATCHES):
        moved = 0.12 * max(0, i - N_FIRST)
        y = rng.integers(0, 3, N_ROWS)
        known = CENTERS[y] + rng.normal(size=(N_ROWS, 6))
        known[:, 3] += moved
        unknown = rng.uniform(-8, 8, (N_ROWS, 6))
        yield known, y, unknown


# %%
# Decide first, learn then
# ------------------------


def run():
    """Return the accepted shares of known and unknown rows of the later batches."""
    clf = ConfidentClassifier(
        ood_source="noise", lr=0.003, max_epochs=20, random_state=0
    )
    fixed = OODDetector(clf, cv=0.5, random_state=0)
    goes_on = OODDetector(clf, cv=0.5, random_state=0)
    first, shares = [], {"fitted once": [], "partial_fit": []}
    for i, (known, y, unknown) in enumerate(batches()):
        if i == N_FIRST:
            fixed.fit(*map(np.concatenate, zip(*first, strict=True)))
        if i >= N_FIRST:
            for name, detector in zip(shares, (fixed, goes_on), strict=True):
                accepted = [(detector.predict(X) == 1).mean() for X in (known, unknown)]
                shares[name].append(accepted)
        else:
            first.append((known, y))
        goes_on.partial_fit(known, y, classes=[0, 1, 2])
    return {name: np.array(found) for name, found in shares.items()}


def main():
    """Print the shares in the last ten batches, and draw all."""
    shares = run()
    figure, axis = plt.subplots(figsize=(7, 3))
    for color, (name, found) in zip(("C1", "C0"), shares.items(), strict=True):
        known, unknown = found[-10:].mean(axis=0)
        print(f"{name:12} known accepted {known:.2f}, unknown accepted {unknown:.2f}")
        numbers = np.arange(N_FIRST, N_BATCHES)
        axis.plot(numbers, found[:, 0], color, label=f"{name}, known rows")
        axis.plot(numbers, found[:, 1], f"{color}:", label=f"{name}, unknown rows")
    axis.axhline(0.95, color="gray", lw=1)
    axis.set_xlabel("batch")
    axis.set_ylabel("share accepted")
    axis.legend(fontsize="small", loc="center left")
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "stream.png", bbox_inches="tight")


if __name__ == "__main__":
    main()
