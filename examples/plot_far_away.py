# SPDX-License-Identifier: BSD-3-Clause
"""
======================================
Far from the data: uniform or rejected
======================================

A ReLU network is linear far away from the data. Along almost every ray, one logit
outgrows the others, and the network becomes confident. The paper trains it to predict
the uniform distribution on out-of-distribution samples (``ood_target="uniform"``). This
moves the confident regions further away, but they are still there. A reject class
(``ood_target="reject"``) helps, because its own logit can outgrow the others.

Here three blobs are known, and a ring around them is out-of-distribution. The table
shows the share of points with a confidence, one minus ``ood_score``, above 0.9.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import make_blobs

from confident_clf import ConfidentClassifier

OUTPUT = Path("output")
RADII = [20, 100, 1000]
SEEDS = range(3)
TRAININGS = {
    "cross entropy": {"ood_source": None},
    "uniform": {"ood_source": "explicit", "ood_target": "uniform"},
    "reject": {"ood_source": "explicit", "ood_target": "reject"},
}


def circle(radius, n, rng):
    """Return `n` points on a circle around the origin."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return radius * np.c_[np.cos(angle), np.sin(angle)]


def fit(params, seed):
    """Return a classifier of three blobs; a ring is the out-of-distribution data."""
    rng = np.random.default_rng(seed)
    centers = [[3, 0], [-1.5, 2.6], [-1.5, -2.6]]
    X, y = make_blobs(600, centers=centers, cluster_std=0.5, random_state=seed)
    ring = circle(1, 600, rng) * rng.uniform(6, 8, (600, 1))
    clf = ConfidentClassifier(
        **params, beta=1.0, method="msp", max_epochs=50, random_state=seed
    )
    return clf.fit(X, y, X_ood=ring if params["ood_source"] else None)


def share_confident(clf, radius, seed):
    """Return the share of points at a radius whose confidence is above 0.9."""
    points = circle(radius, 5000, np.random.default_rng(seed))
    return np.mean(1 - clf.ood_score(points) > 0.9)


def main():
    """Print the table and draw the confidence over the plane."""
    OUTPUT.mkdir(exist_ok=True)
    print("training      " + "".join(f"{f'radius {r}':>18s}" for r in RADII))
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for ax, (name, params) in zip(axes, TRAININGS.items(), strict=True):
        fits = [fit(params, seed) for seed in SEEDS]
        row = ""
        for radius in RADII:
            shares = [share_confident(clf, radius, 0) for clf in fits]
            row += f"{np.mean(shares):12.3f} ± {np.std(shares):.3f}"
        print(f"{name:14s}{row}")
        side = np.linspace(-100, 100, 200)
        grid = np.stack(np.meshgrid(side, side), axis=-1)
        confidence = 1 - fits[0].ood_score(grid.reshape(-1, 2)).reshape(200, 200)
        mesh = ax.pcolormesh(side, side, confidence, vmin=0, vmax=1)
        ax.set(title=name, aspect="equal")
    figure.colorbar(mesh, ax=axes, label="confidence")
    figure.savefig(OUTPUT / "far_away.png", dpi=120)
    print(f"\nFigure: {OUTPUT}/far_away.png")


if __name__ == "__main__":
    # Networks of this size are fastest on one thread.
    torch.set_num_threads(1)
    main()
