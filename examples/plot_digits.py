# SPDX-License-Identifier: BSD-3-Clause
"""
======================================
Telling known digits from unknown ones
======================================

A classifier learns the handwritten digits 0 to 4. Then it sees the digits 5 to 9 for
the first time. Is it less confident about them?

The example compares three regimes of the paper on three random splits:

* **cross entropy**: the classifier alone.
* **joint**: the classifier and a generator of boundary samples, trained together. They
  see known digits only.
* **explicit**: the classifier also trains on unknown digits, with the target to be
  uncertain about them. It is tested on other unknown digits. The other regimes do not
  see any unknown digits, so this is an upper bound.

The detector is the maximum class probability, the baseline in the paper. The table is
printed; the figures go to ``output``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torchvision.utils import make_grid

from confident_clf import ConfidentClassifier
from confident_clf.metrics import ood_report

OUTPUT = Path("output")
SEEDS = range(3)
REGIMES = {"cross entropy": None, "joint": "joint", "explicit": "explicit"}
COLUMNS = {"accuracy": "accuracy", "auroc": "AUROC", "tnr_at_tpr": "TNR at 95 % TPR"}

# %%
# The data
# --------
# 60 % of the digits 0 to 4 are for training and 40 % for testing. The digits 5 to 9 are
# split in the same way. Only "explicit" trains on the first part, as ``X_ood``.


def split(seed):
    """Return train and test rows of the known digits and of the unknown digits."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    known = y < 5
    parts = train_test_split(
        X[known], y[known], test_size=0.4, stratify=y[known], random_state=seed
    )
    unknown = train_test_split(
        X[~known], test_size=0.4, stratify=y[~known], random_state=seed
    )
    return *parts, *unknown


# %%
# One fit
# -------
# A row of 64 numbers is an image of 8x8 pixels. With ``image_shape``, the classifier is
# a convolutional network and the generator a DCGAN, both of the right size.


def evaluate(ood_source, seed):
    """Return the fitted classifier, its confidences and its metrics."""
    X_train, X_test, y_train, y_test, unknown_train, unknown_test = split(seed)
    clf = ConfidentClassifier(
        ood_source=ood_source,
        method="msp",
        image_shape=(1, 8, 8),
        random_state=seed,
    )
    clf.fit(X_train, y_train, X_ood=unknown_train if ood_source == "explicit" else None)
    confidences = [clf.predict_proba(X).max(axis=1) for X in (X_test, unknown_test)]
    report = ood_report(clf.score_samples(X_test), clf.score_samples(unknown_test))
    return clf, confidences, report | {"accuracy": clf.score(X_test, y_test)}


# %%
# The comparison
# --------------


def compare():
    """Return the metrics of all runs, and fits and confidences of the last seed."""
    reports, last = {}, {}
    for name, ood_source in REGIMES.items():
        runs = [evaluate(ood_source, seed) for seed in SEEDS]
        reports[name] = [report for _, _, report in runs]
        last[name] = runs[-1][:2]
    return reports, last


def print_table(reports):
    """Print mean and standard deviation over the seeds."""
    print(f"{'':14s}" + "".join(f"{title:>20s}" for title in COLUMNS.values()))
    for name, runs in reports.items():
        cells = ""
        for key in COLUMNS:
            values = [run[key] for run in runs]
            cells += f"{np.mean(values):12.3f} ± {np.std(values, ddof=1):.3f}"
        print(f"{name:14s}{cells}")


# %%
# The pictures
# ------------
# If a classifier detects unknown digits, its histogram has the known digits on the
# right and the unknown digits on the left.


def plot_histograms(last):
    """Draw the confidence of each classifier on known and on unknown digits."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, sharex=True)
    bins = np.linspace(0.2, 1, 33)
    for ax, (name, (_, (known, unknown))) in zip(axes, last.items(), strict=True):
        for values, label in [(known, "known: 0 to 4"), (unknown, "unknown: 5 to 9")]:
            weights = np.full(len(values), 1 / len(values))
            ax.hist(values, bins=bins, weights=weights, alpha=0.6, label=label)
        ax.set(title=name, xlabel="maximum class probability", yscale="log")
    axes[0].set_ylabel("share of the digits")
    axes[0].legend(loc="upper left")
    figure.savefig(OUTPUT / "histograms.png", dpi=120, bbox_inches="tight")


def plot_samples(clf, X):
    """Draw training digits next to generated samples and their mean confidence."""
    samples = clf.sample_ood(40)
    confidence = clf.predict_proba(samples).max(axis=1).mean()
    figure, axes = plt.subplots(1, 2, figsize=(10, 2.6))
    for ax, rows, title in [
        (axes[0], X[:40], "training digits"),
        (axes[1], samples, f"boundary samples, mean confidence {confidence:.2f}"),
    ]:
        images = torch.as_tensor(rows, dtype=torch.float32).reshape(-1, 1, 8, 8)
        grid = make_grid(images, nrow=10, padding=1, pad_value=0.5)
        ax.imshow(grid[0].numpy(), cmap="gray")
        ax.set(title=title, xticks=[], yticks=[])
    figure.savefig(OUTPUT / "boundary_samples.png", dpi=120, bbox_inches="tight")


# %%
# Run it
# ------


def main():
    """Print the table and draw the figures."""
    OUTPUT.mkdir(exist_ok=True)
    reports, last = compare()
    print_table(reports)
    plot_histograms(last)
    plot_samples(last["joint"][0], split(SEEDS[-1])[0])
    print(f"\nFigures: {OUTPUT}/histograms.png, {OUTPUT}/boundary_samples.png")


if __name__ == "__main__":
    # Networks of this size are fastest on one thread.
    torch.set_num_threads(1)
    main()
