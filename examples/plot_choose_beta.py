# SPDX-License-Identifier: BSD-3-Clause
"""
=====================================
Choosing beta without unknown samples
=====================================

``beta`` is the weight of low confidence on out-of-distribution samples, relative to
fitting the data. The best value depends on the data, but the unknown samples that would
show it are not available. Known classes can take their place: ``LeaveClassesOut`` holds
out one class at a time, and the score is how well a classifier of the other classes
detects it. Real unknown samples may be further away than another class, so rows with
permuted values count as unknown as well.

Here the digits 0 to 4 are known, and the search sees nothing else. The example then
compares its scores with the scores on the digits 5 to 9, which a user would not have.
At the end, ``ConfidentClassifierCV`` chooses a beta at the cost of four fits.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from confident_clf import ConfidentClassifier, ConfidentClassifierCV
from confident_clf.metrics import id_accuracy_scorer, make_ood_scorer
from confident_clf.model_selection import LeaveClassesOut

OUTPUT = Path("output")
BETAS = [0.0, 0.03, 0.1, 0.3, 1.0]
SOURCE = "noise"  # cheap; other sources work the same way
MAX_EPOCHS = 10


def split():
    """Return train and test rows of the known digits, and the unknown digits."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    known = y < 5
    parts = train_test_split(
        X[known], y[known], test_size=0.4, stratify=y[known], random_state=0
    )
    return *parts, X[~known]


# %%
# The search
# ----------
# The classifier does not know the class that was held out. Scorers from
# ``make_ood_scorer`` treat its rows as unknown; ``id_accuracy_scorer`` ignores them.
# Look at the accuracy too: better detection must not cost accuracy.


CLASSIFIER = ConfidentClassifier(
    ood_source=SOURCE,
    method="msp",
    image_shape=(1, 8, 8),
    max_epochs=MAX_EPOCHS,
    random_state=0,
)


def search(X, y):
    """Return the fitted search."""
    return GridSearchCV(
        CLASSIFIER,
        {"beta": BETAS},
        scoring={
            "auroc": make_ood_scorer(X_ood="permuted"),
            "accuracy": id_accuracy_scorer,
        },
        refit="auroc",
        cv=LeaveClassesOut(random_state=0),
    ).fit(X, y)


# %%
# A cheaper search
# ----------------
# The search above fits once for every beta and every class. ``ConfidentClassifierCV``
# splits the classes into three parts and trains once without each part. For every beta,
# it then continues training a copy for a few epochs.


def cheap_search(X, y):
    """Return the chosen beta, among the values above 0."""
    betas = [beta for beta in BETAS if beta > 0]
    return (
        ConfidentClassifierCV(CLASSIFIER, betas=betas, random_state=0).fit(X, y).beta_
    )


# %%
# What the search cannot see
# --------------------------


def auroc_on_unknown(best, X_train, y_train, X_test, unknown):
    """Return the AUROC of every beta on the unknown digits."""
    scorer = make_ood_scorer(X_ood=unknown)
    fits = (best.set_params(beta=beta).fit(X_train, y_train) for beta in BETAS)
    return np.array([scorer(fit, X_test) for fit in fits])


def plot(stand_ins, unknown):
    """Draw both AUROCs over beta."""
    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    places = range(len(BETAS))
    ax.plot(
        places,
        stand_ins,
        "o-",
        label="held out or permuted (seen by the search)",
    )
    ax.plot(places, unknown, "s--", label="digits 5 to 9 (not available)")
    ax.set(xlabel="beta", ylabel="AUROC", xticks=places, xticklabels=BETAS)
    ax.legend()
    figure.savefig(OUTPUT / "choose_beta.png", dpi=120)


# %%
# Run it
# ------


def main():
    """Print the table and draw the figure."""
    OUTPUT.mkdir(exist_ok=True)
    X_train, X_test, y_train, _, X_unknown = split()
    fitted = search(X_train, y_train)
    results = fitted.cv_results_
    stand_ins, accuracy = results["mean_test_auroc"], results["mean_test_accuracy"]
    unknown = auroc_on_unknown(
        fitted.best_estimator_, X_train, y_train, X_test, X_unknown
    )
    print("beta   accuracy   AUROC stand-ins  AUROC digits 5-9")
    for beta, *row in zip(BETAS, accuracy, stand_ins, unknown, strict=True):
        print(f"{beta:4.2f}" + "{:11.3f}{:17.3f}{:19.3f}".format(*row))
    regret = unknown.max() - unknown[fitted.best_index_]
    print(f"\npicked beta={fitted.best_params_['beta']}, regret {regret:.3f} AUROC")
    cheap = cheap_search(X_train, y_train)
    regret = unknown.max() - unknown[BETAS.index(cheap)]
    print(f"ConfidentClassifierCV: beta={cheap}, regret {regret:.3f} AUROC")
    plot(stand_ins, unknown)
    print(f"\nFigure: {OUTPUT}/choose_beta.png")


if __name__ == "__main__":
    # Networks of this size are fastest on one thread.
    torch.set_num_threads(1)
    main()
