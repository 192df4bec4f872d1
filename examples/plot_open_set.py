# SPDX-License-Identifier: BSD-3-Clause
"""
======================================
A class, or "unknown": open-set digits
======================================

A classifier of the digits 0 to 4 assigns one of them to a 7, too. With
``OpenSetClassifier`` it can predict "unknown" instead. On average, at least 95 % of the
known digits still get a class.

The example wraps two classifiers: a random forest, and a ``ConfidentClassifier`` that
is trained to be uncertain about noise, which costs little. ``OSCR`` measures both tasks
at once: it is the probability that a known digit is classified correctly and has a
higher confidence than an unknown digit. ``AURC`` counts every accepted unknown digit as
an error.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, OpenSetClassifier
from confident_clf.metrics import accepted_accuracy, aurc, oscr

OUTPUT = Path("output")

# %%
# The labels are names here, and so is the prediction for unknown digits.

NAMES = np.array(["zero", "one", "two", "three", "four"] + ["unknown"] * 5)
LABELS = ["zero", "one", "two", "three", "four", "unknown"]


def split():
    """Return training rows of the known digits and test rows of all digits."""
    X, y = load_digits(return_X_y=True)
    X, names = X / 16, NAMES[y]
    X_train, X_test, y_train, y_test = train_test_split(
        X, names, test_size=0.4, stratify=y, random_state=0
    )
    known = y_train != "unknown"
    return X_train[known], X_test, y_train[known], y_test


def classifiers():
    """Return the classifiers to wrap."""
    return {
        "forest": RandomForestClassifier(random_state=0),
        "confident": ConfidentClassifier(
            ood_source="noise", image_shape=(1, 8, 8), max_epochs=30, random_state=0
        ),
    }


# %%
# Fit, decide, measure
# --------------------


def fit(clf, X, y):
    """Return the open-set classifier; it sets its threshold on 30 % of the rows."""
    return OpenSetClassifier(clf, cv=0.3, unknown_label="unknown", random_state=0).fit(
        X, y
    )


def figures(open_set, X, y):
    """Return the metrics of one classifier."""
    predicted, confidence = open_set.predict(X), open_set.score_samples(X)
    known = y != "unknown"
    right = open_set.estimator_.predict(X) == y
    return {
        "known given a class": np.mean(predicted[known] != "unknown"),
        "unknown refused": np.mean(predicted[~known] == "unknown"),
        "accuracy on accepted": accepted_accuracy(
            y, predicted, unknown_label="unknown"
        ),
        "OSCR": oscr(known, confidence, right),
        "AURC": aurc(right, confidence),
    }


def plot_confusion(predictions, y):
    """Draw the confusion matrix of each classifier."""
    figure, axes = plt.subplots(1, len(predictions), figsize=(10, 4.4))
    for ax, (name, predicted) in zip(axes, predictions.items(), strict=True):
        ConfusionMatrixDisplay.from_predictions(
            y, predicted, labels=LABELS, ax=ax, colorbar=False, xticks_rotation=45
        )
        ax.set_title(name)
    figure.tight_layout()
    figure.savefig(OUTPUT / "open_set.png", dpi=120)


# %%
# Run it
# ------


def main():
    """Print the table and draw the figure."""
    OUTPUT.mkdir(exist_ok=True)
    X_train, X_test, y_train, y_test = split()
    fitted = {name: fit(clf, X_train, y_train) for name, clf in classifiers().items()}
    tables = {name: figures(clf, X_test, y_test) for name, clf in fitted.items()}
    print(f"{'':22s}" + "".join(f"{name:>12s}" for name in tables))
    for key in tables["forest"]:
        print(f"{key:22s}" + "".join(f"{t[key]:12.3f}" for t in tables.values()))
    plot_confusion({name: clf.predict(X_test) for name, clf in fitted.items()}, y_test)
    print(f"\nFigure: {OUTPUT}/open_set.png")


if __name__ == "__main__":
    # Networks of this size are fastest on one thread.
    torch.set_num_threads(1)
    main()
