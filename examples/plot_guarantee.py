# SPDX-License-Identifier: BSD-3-Clause
"""
==============================================
A threshold with a guarantee, inside a pipeline
==============================================

"Accept 95 % of what I know" is a promise that a threshold chosen on training data does
not keep: a model is surer of rows that it has seen. ``OODDetector`` holds some rows
back and takes the threshold of split-conformal prediction, which keeps the promise for
every number of rows, here 20, 100 and 1000: on average, and within a known spread.

Then a batch with some unknown samples in it is searched for these so that, of those
called unknown, no more than one in ten is known on average: ``predict(X, fdr=0.1)``.

The classifier is a plain logistic regression in a pipeline; any other would do.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import beta
from sklearn.datasets import make_blobs
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import OODDetector

OUTPUT = Path(__file__).parent / "output"
CENTERS = [[-3, 0], [3, 0], [0, 5]]
TARGET_TPR = 0.95
N_CALIBRATION = [20, 100, 1000]
N_DRAWS = 300

# %%
# A pipeline, fitted once
# -----------------------


def draw(n, rng):
    """Return `n` samples of three overlapping classes, and their labels."""
    seed = int(rng.integers(2**31))
    return make_blobs(n, centers=CENTERS, cluster_std=1.5, random_state=seed)


def fit_pipeline(rng):
    """Return a scaler and a classifier, fitted."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*draw(500, rng))


# %%
# How many known samples are accepted?
# ------------------------------------
# Every draw of calibration rows gives another threshold, and so another share of new
# samples accepted. Its law is known: Beta(n + 1 - k, k), with k the number of rows that
# the threshold may leave below.


def shares_accepted(pipe, n, rng):
    """Return the share of new samples accepted, for many draws of calibration rows."""
    shares = []
    for _ in range(N_DRAWS):
        detector = OODDetector(FrozenEstimator(pipe), target_tpr=TARGET_TPR)
        detector.fit(draw(n, rng)[0])
        shares.append(np.mean(detector.predict(draw(2000, rng)[0]) == 1))
    return np.array(shares)


def plot_shares(shares):
    """Draw the shares for each number of calibration rows, and the law."""
    figure, axes = plt.subplots(1, len(shares), figsize=(11, 3), layout="constrained")
    for ax, (n, values) in zip(axes, shares.items(), strict=True):
        k = n + 1 - np.ceil((n + 1) * TARGET_TPR)
        grid = np.linspace(values.min(), 1, 200, endpoint=False)
        ax.hist(values, bins=20, density=True, alpha=0.6)
        ax.plot(grid, beta(n + 1 - k, k).pdf(grid), color="black")
        ax.axvline(TARGET_TPR, color="tab:red")
        ax.set(title=f"{n} calibration rows", xlabel="share accepted", yticks=[])
    figure.savefig(OUTPUT / "guarantee.png", dpi=120)
    plt.close(figure)


# %%
# Which samples of a batch are unknown?
# -------------------------------------
# The threshold decides on each sample alone: of 900 known ones some 45 are refused. The
# false discovery rate is a promise about the list of those refused instead.


def search_batch(rng):
    """Return, for both ways to decide, how many are refused and how many are known."""
    clf = make_pipeline(StandardScaler(), LogisticRegression())
    X, y = draw(5000, rng)
    between = rng.normal([0, 1.6], 0.15, size=(100, 2))
    batch = np.r_[draw(900, rng)[0], between]
    detector = OODDetector(clf, target_tpr=TARGET_TPR, cv=0.4, random_state=0).fit(X, y)
    counts = {}
    for name, fdr in {"threshold": None, "fdr=0.1": 0.1}.items():
        refused = detector.predict(batch, fdr=fdr) == -1
        counts[name] = refused.sum(), refused[:900].sum()
    return counts


# %%
# Run it
# ------


def main():
    """Print the tables and draw the figure."""
    OUTPUT.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    pipe = fit_pipeline(rng)
    shares = {n: shares_accepted(pipe, n, rng) for n in N_CALIBRATION}
    print("calibration rows   share accepted, mean   5 % of draws below")
    for n, values in shares.items():
        print(f"{n:16d}{values.mean():23.3f}{np.quantile(values, 0.05):21.3f}")
    plot_shares(shares)
    print("\nbatch of 1000     refused   known among them")
    for name, (n_refused, n_known) in search_batch(rng).items():
        print(f"{name:12s}{n_refused:13d}{n_known:19d}")
    print(f"\nFigure: {OUTPUT}/guarantee.png")


if __name__ == "__main__":
    main()
