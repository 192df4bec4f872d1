# SPDX-License-Identifier: BSD-3-Clause
"""
======================================
Choosing beta without unknown samples
======================================

``beta`` weighs being unsure of boundary samples against fitting the data. The best
value depends on the data, and the samples that would tell are those nobody has. What
one has are classes: ``LeaveClassesOut`` holds one out at a time, and asks how well a
classifier of the others tells it from them. As unknown samples may be further off than
another class, known rows with permuted values stand beside.

Here the digits 0 to 4 are known. The search sees nothing else. Beside its scores stand
those on the digits 5 to 9, which only this example may look at. In the end
``ConfidentClassifierCV`` chooses too, for the price of four fits.
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

OUTPUT = Path(__file__).parent / "output"
BETAS = [0.0, 0.03, 0.1, 0.3, 1.0]
SOURCE = "noise"  # cheap; the recipe is the same for the others
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
# A class held out is none of the classifier's: scorers made by ``make_ood_scorer`` take
# its rows for unknown ones, and ``id_accuracy_scorer`` leaves them out. Accuracy is
# there to be looked at: detection must not be bought with it.


CLASSIFIER = ConfidentClassifier(
    ood_source=SOURCE, image_shape=(1, 8, 8), max_epochs=MAX_EPOCHS, random_state=0
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
# The same for less
# -----------------
# That took a fit for every beta and every class. This trains once without each third of
# the classes, and for every beta lets a copy go on for a few epochs.


def cheap_search(X, y):
    """Return the beta chosen, out of those above 0."""
    betas = [beta for beta in BETAS if beta > 0]
    return (
        ConfidentClassifierCV(CLASSIFIER, betas=betas, random_state=0).fit(X, y).beta_
    )


# %%
# What the search cannot know
# ---------------------------


def auroc_on_unknown(best, X_train, y_train, X_test, unknown):
    """Return the AUROC of every beta on the digits that nobody had."""
    scorer = make_ood_scorer(X_ood=unknown)
    fits = (best.set_params(beta=beta).fit(X_train, y_train) for beta in BETAS)
    return np.array([scorer(fit, X_test) for fit in fits])


def plot(stand_ins, unknown):
    """Draw both curves over beta."""
    figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
    places = range(len(BETAS))
    ax.plot(
        places,
        stand_ins,
        "o-",
        label="held out or permuted (what the search sees)",
    )
    ax.plot(places, unknown, "s--", label="digits 5 to 9 (what nobody has)")
    ax.set(xlabel="beta", ylabel="AUROC", xticks=places, xticklabels=BETAS)
    ax.legend()
    figure.savefig(OUTPUT / "choose_beta.png", dpi=120)
    plt.close(figure)


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
