# SPDX-License-Identifier: BSD-3-Clause
"""
==============================
Which score for which training
==============================

A classifier has many scores for how unknown a sample is. They use its probabilities
(``"msp"``, ``"gen"``), the size of its logits (``"energy"``) or its gradient
(``"odin"``), or they compare its features with the features of the training samples
(``"knn"``, ``"mahalanobis"``, ``"vim"``). Which score is best depends on the training.

A classifier learns the handwritten digits 0 to 4, once with plain cross entropy and
once with noise as out-of-distribution samples. There are two kinds of unknown samples:
the digits 5 to 9, which look like the known digits, and uniform noise, which does not.
The table and the chart show the AUROC: the share of pairs of a known and an unknown
sample in which the unknown sample has the higher score.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier
from confident_clf.metrics import ood_report
from confident_clf.scores import KNN

OUTPUT = Path("output")
SEEDS = range(2)
TRAININGS = {"cross entropy": None, "noise": "noise"}
# These scores need the training samples, so they are set before `fit`.
FITTED = {"knn": KNN(n_neighbors=5), "mahalanobis": "mahalanobis", "vim": "vim"}
SCORES = ["msp", "gen", "energy", "odin", *FITTED]
UNKNOWN = ["digits 5 to 9", "uniform noise"]

# %%
# The data
# --------


def split(seed):
    """Return training rows and labels, known test rows, and the unknown rows."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    X_train, X_test, y_train, _ = train_test_split(
        X[y < 5], y[y < 5], test_size=0.4, stratify=y[y < 5], random_state=seed
    )
    noise = np.random.default_rng(seed).random((500, 64))
    return X_train, y_train, X_test, dict(zip(UNKNOWN, [X[y >= 5], noise], strict=True))


# %%
# All scores of one training
# --------------------------
# All classifiers have the same ``random_state``, so they have the same network.


def classifiers(ood_source, seed, X, y):
    """Return a fitted classifier for each score."""
    fits = {}
    for method in ["msp", *FITTED]:
        clf = ConfidentClassifier(
            ood_source=ood_source,
            method=FITTED.get(method, method),
            image_shape=(1, 8, 8),
            max_epochs=30,
            random_state=seed,
        )
        fits[method] = clf.fit(X, y)
    return {method: fits.get(method, fits["msp"]) for method in SCORES}


def evaluate(ood_source, seed):
    """Return the AUROC of each score (rows) for each kind of unknown samples."""
    X_train, y_train, X_test, unknown = split(seed)
    fits = classifiers(ood_source, seed, X_train, y_train)
    table = np.empty((len(SCORES), len(UNKNOWN)))
    for row, method in zip(table, SCORES, strict=True):
        asked = None if method in FITTED else method
        known = fits[method].score_samples(X_test, method=asked)
        for column, name in enumerate(UNKNOWN):
            others = fits[method].score_samples(unknown[name], method=asked)
            row[column] = ood_report(known, others)["auroc"]
    return table


# %%
# Table and chart
# ---------------


def print_table(means):
    """Print the AUROC of each score, for each training and unknown set."""
    titles = [f"{training}: {name}" for training in TRAININGS for name in UNKNOWN]
    print(f"{'':12s}" + "".join(f"{title:>30s}" for title in titles))
    for i, method in enumerate(SCORES):
        cells = np.concatenate([means[training][i] for training in TRAININGS])
        print(f"{method:12s}" + "".join(f"{cell:30.3f}" for cell in cells))


def plot(means):
    """Draw a bar for each score and training."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
    place = np.arange(len(SCORES))
    for ax, column in zip(axes, range(len(UNKNOWN)), strict=True):
        for shift, training in zip((-0.2, 0.2), TRAININGS, strict=True):
            heights = means[training][:, column]
            ax.bar(place + shift, heights, 0.4, label=training)
        ax.set(title=f"unknown: {UNKNOWN[column]}", ylim=(0.5, 1.0))
        ax.set_xticks(place, SCORES, rotation=30)
    axes[0].set_ylabel("AUROC")
    axes[0].legend(title="training", loc="lower left")
    figure.savefig(OUTPUT / "scores.png", dpi=120, bbox_inches="tight")


# %%
# Run it
# ------


def main():
    """Print the table and draw the chart."""
    OUTPUT.mkdir(exist_ok=True)
    means = {
        training: np.mean([evaluate(ood_source, seed) for seed in SEEDS], axis=0)
        for training, ood_source in TRAININGS.items()
    }
    print_table(means)
    plot(means)
    print(f"\nFigure: {OUTPUT}/scores.png")


if __name__ == "__main__":
    # Networks of this size are fastest on one thread.
    torch.set_num_threads(1)
    main()
