# SPDX-License-Identifier: BSD-3-Clause
"""
============
A rare class
============

One row in forty is of a class that matters. Plain training hardly ever predicts it.
``class_weight="balanced"`` finds most of it. A detector with one threshold for all then
refuses much of the rare class; ``per_class=True`` gives each class its own.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import recall_score
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, OODDetector

OUTPUT = Path("output")
N_ROWS = 6000

# %%
# Data
# ----


def data():
    """Return rows to train on, rows to test on, and their labels; 1 is rare."""
    X, y = make_classification(
        N_ROWS,
        n_features=10,
        n_informative=5,
        weights=[0.975],
        flip_y=0,
        class_sep=1.0,
        random_state=0,
    )
    X /= X.std(axis=0)
    return train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)


# %%
# Recall, and the share that a detector accepts
# ---------------------------------------------


def measure(X, X_test, y, y_test):
    """Return recall and accepted share of the rare class for three settings."""
    settings = {
        "plain": (None, False),
        "balanced": ("balanced", False),
        "balanced, per_class": ("balanced", True),
    }
    figures = {}
    for name, (class_weight, per_class) in settings.items():
        clf = ConfidentClassifier(
            class_weight=class_weight, ood_source="noise", max_epochs=15, random_state=0
        )
        detector = OODDetector(
            clf, target_tpr=0.9, per_class=per_class, cv=0.4, random_state=0
        ).fit(X, y)
        decisions = detector.decide(X_test)
        recall = recall_score(y_test, decisions.label)
        accepted = decisions.accepted[y_test == 1].mean()
        print(f"{name:20} recall {recall:.2f}, accepted {accepted:.2f}")
        figures[name] = recall, accepted
    return figures


def main():
    """Measure the three settings, and draw bars."""
    figures = measure(*data())
    figure, axis = plt.subplots(figsize=(7, 3))
    places = np.arange(len(figures))
    recall, accepted = np.array(list(figures.values())).T
    axis.bar(places - 0.2, recall, 0.4, label="recall")
    axis.bar(places + 0.2, accepted, 0.4, label="accepted by the detector", hatch="//")
    axis.set_xticks(places, list(figures))
    axis.set_ylabel("share of the rare class (higher is better)")
    axis.legend()
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "rare_classes.png", bbox_inches="tight")


if __name__ == "__main__":
    main()
