# SPDX-License-Identifier: BSD-3-Clause
"""
=========================
Texts of an unknown topic
=========================

The texts are docstrings of functions: of NumPy, SciPy and scikit-learn, which are
known, and of torch, which is not. Tf-idf makes sparse rows of them, a column for each
word, and the classifier takes these as they are.
"""

import inspect
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import scipy.signal
import scipy.stats
import sklearn.metrics
import sklearn.preprocessing
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.plotting import ScoreDisplay

OUTPUT = Path("output")
MAX_EPOCHS = 20
KNOWN = {
    "NumPy": [np, np.linalg],
    "SciPy": [scipy.stats, scipy.signal],
    "scikit-learn": [sklearn.metrics, sklearn.preprocessing],
}

# %%
# Texts
# -----


def docstrings(modules):
    """Return the docstrings of all functions and classes of modules."""
    things = [getattr(m, name) for m in modules for name in sorted(vars(m))]
    texts = [inspect.getdoc(thing) for thing in things if callable(thing)]
    # The examples would tell the package by its name.
    return sorted({text.split("Examples")[0] for text in texts if text})


# %%
# Sparse rows in, decisions out
# -----------------------------


def fit(texts, topics):
    """Return a detector of texts of other topics."""
    clf = ConfidentClassifier(
        ood_source="noise",
        method=["gen", "knn"],
        max_epochs=MAX_EPOCHS,
        random_state=0,
    )
    pipe = make_pipeline(TfidfVectorizer(max_features=2000), clf)
    return OODDetector(pipe, target_tpr=0.9, random_state=0).fit(texts, topics)


def main():
    """Fit on three packages; draw the scores of these and of torch."""
    texts, topics = [], []
    for name, modules in KNOWN.items():
        found = docstrings(modules)
        texts += found
        topics += [name] * len(found)
    train, test, y_train, y_test = train_test_split(texts, topics, random_state=0)
    unknown = docstrings([torch, torch.nn])
    detector = fit(train, y_train)
    known, of_torch = detector.decide(test), detector.decide(unknown)
    print(f"known packages: {np.mean(known.label == y_test):.0%} right, ", end="")
    print(f"{np.mean(known.accepted):.0%} accepted")
    print(f"torch: {np.mean(~of_torch.accepted):.0%} refused")
    _, axis = plt.subplots()
    ScoreDisplay.from_estimator(detector, test, X_ood=unknown, ax=axis)
    OUTPUT.mkdir(exist_ok=True)
    axis.figure.savefig(OUTPUT / "text.png", bbox_inches="tight")


if __name__ == "__main__":
    main()
