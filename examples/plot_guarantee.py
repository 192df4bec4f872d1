# SPDX-License-Identifier: BSD-3-Clause
"""
===============================================
A threshold with a guarantee, inside a pipeline
===============================================

A threshold is meant to accept 95 % of the known samples. If you choose it on training
data, it accepts fewer, because a model is more confident about rows that it has seen.
``OODDetector`` holds some rows back and uses the threshold of split-conformal
prediction. On average it accepts at least 95 %, whether it holds back 20, 100 or 1000
rows, and the spread around the average is known.

The second part looks for the unknown samples in a batch. ``predict(X, fdr=0.1)`` makes
sure that on average at most one in ten of the samples called unknown is known.

The classifier is a plain logistic regression in a pipeline. Any other works as well.
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

OUTPUT = Path("output")
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
    """Return a fitted pipeline of a scaler and a classifier."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*draw(500, rng))


# %%
# How many known samples are accepted?
# ------------------------------------
# Every draw of calibration rows gives another threshold, and with it another share of
# new samples that are accepted. This share follows a Beta(n + 1 - k, k) distribution
# for n calibration rows, if the threshold is the k-th lowest of their scores.


def shares_accepted(pipe, n, rng):
    """Return the accepted share of new samples, for many draws of calibration rows."""
    shares = []
    for _ in range(N_DRAWS):
        detector = OODDetector(FrozenEstimator(pipe), target_tpr=TARGET_TPR)
        detector.fit(draw(n, rng)[0])
        shares.append(np.mean(detector.predict(draw(2000, rng)[0]) == 1))
    return np.array(shares)


def plot_shares(shares):
    """Draw the shares for each number of calibration rows, and their distribution."""
    figure, axes = plt.subplots(1, len(shares), figsize=(11, 3), layout="constrained")
    for ax, (n, values) in zip(axes, shares.items(), strict=True):
        k = n + 1 - np.ceil((n + 1) * TARGET_TPR)
        grid = np.linspace(values.min(), 1, 200, endpoint=False)
        ax.hist(values, bins=20, density=True, alpha=0.6)
        ax.plot(grid, beta(n + 1 - k, k).pdf(grid), color="black")
        ax.axvline(TARGET_TPR, color="tab:red")
        ax.set(title=f"{n} calibration rows", xlabel="share accepted", yticks=[])
    figure.savefig(OUTPUT / "guarantee.png", dpi=120)


# %%
# Which samples of a batch are unknown?
# -------------------------------------
# The threshold looks at each sample alone, and refuses about 45 of 900 known samples.
# A limit on the false discovery rate is a guarantee for the refused samples together:
# it bounds the share of known samples among them.


def search_batch(rng):
    """Return how many samples both rules refuse, and how many of them are known."""
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
