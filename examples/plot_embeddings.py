# SPDX-License-Identifier: BSD-3-Clause
"""
========================
A small head on features
========================

A large network that somebody else trained turns images or texts into vectors, its
embeddings. Which classifier on top knows what it does not know? Here a network trained
on the digits 5 to 9 stands in for the large one. Its embeddings of 0, 1 and 2 are
known, those of 3 and 4 unknown: it was trained on neither.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from confident_clf import ConfidentClassifier
from confident_clf.metrics import auroc

OUTPUT = Path("output")
METHODS = {
    "msp": "msp",
    "energy": "energy",
    "knn": "knn",
    "mahalanobis": "mahalanobis",
    "mahalanobis, knn": ["mahalanobis", "knn"],
}

# %%
# Embeddings
# ----------


def embed(X, X_encoder, y_encoder):
    """Return what the hidden layer of a network trained on other digits makes of X."""
    network = MLPClassifier((128,), max_iter=400, random_state=0)
    network.fit(X_encoder, y_encoder)
    return np.maximum(X @ network.coefs_[0] + network.intercepts_[0], 0)


# %%
# Heads and scores
# ----------------


def compare(train, y_train, known, unknown):
    """Return the AUROC of the defaults, and of a linear head with several scores."""
    heads = {
        "defaults": {},
        **{
            f"linear, {name}": {"hidden": (), "ood_source": None, "method": method}
            for name, method in METHODS.items()
        },
    }
    areas = {}
    for name, params in heads.items():
        clf = ConfidentClassifier(max_epochs=30, random_state=0, **params)
        clf.fit(train, y_train)
        scores = [clf.score_samples(rows) for rows in (known, unknown)]
        is_known = np.repeat([1, 0], [len(known), len(unknown)])
        areas[name] = auroc(is_known, np.concatenate(scores))
        print(f"{name:24} {areas[name]:.3f}")
    return areas


def main():
    """Embed the digits, compare the heads, and draw bars."""
    X, y = load_digits(return_X_y=True)
    embeddings = embed(X / 16, X[y > 4] / 16, y[y > 4])
    known, unknown = embeddings[y < 3], embeddings[(y == 3) | (y == 4)]
    train, test, y_train, _ = train_test_split(known, y[y < 3], random_state=0)
    areas = compare(train, y_train, test, unknown)
    figure, axis = plt.subplots(figsize=(7, 3))
    axis.barh(list(areas), list(areas.values()))
    axis.set_xlim(0.5, 1)
    axis.set_xlabel("AUROC, digits 0-2 against 3 and 4 (higher is better)")
    axis.invert_yaxis()
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "embeddings.png", bbox_inches="tight")


if __name__ == "__main__":
    main()
