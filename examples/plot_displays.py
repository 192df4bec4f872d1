# SPDX-License-Identifier: BSD-3-Clause
"""
============
All pictures
============

:mod:`confident_clf.plotting` has a display for each question about a classifier and its
detector. This page shows all of them, and how to read them. A display draws on new
axes, or on those given as ``ax``.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.datasets import load_digits_ood, make_ood_moons
from confident_clf.plotting import (
    ConfidenceMapDisplay,
    DecisionsDisplay,
    DetDisplay,
    HistoryDisplay,
    PValueDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    RocDisplay,
    SamplesDisplay,
    ScoreDisplay,
)

# Networks of this size are fastest on one thread.
torch.set_num_threads(1)

# %%
# Where is it sure?
# -----------------
#
# ``ConfidenceMapDisplay`` needs data of two features. Light is where the classifier is
# sure. The map should be light around the training points, and dark everywhere else.
# Plain cross entropy (left) is sure almost everywhere. The crosses in the right map are
# the samples that made the classifier unsure around the moons.

moons = make_ood_moons(400, random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
for ax, ood_source in zip(axes, [None, "noise"], strict=True):
    clf = ConfidentClassifier(
        ood_source=ood_source, method="msp", max_epochs=30, random_state=0
    ).fit(moons.X_train, moons.y_train)
    ConfidenceMapDisplay.from_estimator(
        clf,
        moons.X_train,
        moons.y_train,
        n_samples=100 if ood_source else 0,
        response_method="predict_proba",
        eps=2.0,
        ax=ax,
    )
    ax.set_title(f"ood_source={ood_source!r}")

# %%
# What is accepted?
# -----------------
#
# The map of a detector shows p-values. It accepts what is inside of the dashed line,
# here 95 % of new points of the moons. Unknown points should be outside.

detector = OODDetector(ConfidentClassifier(random_state=0), random_state=0)
detector.fit(moons.X_train, moons.y_train)
display = ConfidenceMapDisplay.from_estimator(
    detector, moons.X_test, moons.y_test, X_ood=moons.X_ood["ring"]
)

# %%
# Decisions on images
# -------------------
#
# From here on, the digits 0 to 5 are known and 6 to 9 are unknown. ``DecisionsDisplay``
# shows images. A blue frame has an accepted digit with its class, a dashed orange frame
# a refused one. The p-value says how usual a digit is among known ones.

digits = load_digits_ood(unknown=(6, 7, 8, 9), test_size=0.4, random_state=0)
X_ood = np.concatenate(list(digits.X_ood.values()))
clf = ConfidentClassifier(
    image_shape=(1, 8, 8),
    ood_source="joint",
    max_epochs=10,
    early_stopping=True,
    random_state=0,
).fit(digits.X_train, digits.y_train)
n = len(digits.X_test) // 2
X_calibrate, y_calibrate = digits.X_test[:n], digits.y_test[:n]
X_test, y_test = digits.X_test[n:], digits.y_test[n:]
detector = OODDetector(FrozenEstimator(clf)).fit(X_calibrate, y_calibrate)

shown = np.concatenate([X_test[:15], X_ood[::48][:15]])
DecisionsDisplay.from_estimator(
    detector, shown, name="15 known digits, then 15 unknown ones", cmap="gray_r"
)

# %%
# Samples of the generator
# ------------------------
#
# ``SamplesDisplay`` shows what the source makes. Good samples look a little like the
# data, but like no class. If all were alike, the generator would have collapsed.

SamplesDisplay.from_estimator(clf, 30, cmap="gray_r")

# %%
# Training
# --------
#
# ``HistoryDisplay`` shows the losses of all networks. Those of the classifier and the
# validation should fall. Generator and discriminator are opponents: a discriminator at
# 1.39 cannot tell generated samples from training samples.

HistoryDisplay.from_estimator(clf)

# %%
# Confidences
# -----------
#
# ``ScoreDisplay`` shows how far known and unknown digits are apart. What is right of
# the dashed line is accepted.

ScoreDisplay.from_estimator(detector, X_test, X_ood=X_ood)

# %%
# P-values
# --------
#
# ``PValueDisplay`` shows which share of the samples has at most a p-value. The known
# digits should follow the dotted diagonal; then the promise of the detector holds. The
# unknown digits should rise at once. Where a curve meets the dashed line, one reads the
# share that is refused.

PValueDisplay.from_estimator(detector, X_test, X_ood=X_ood)

# %%
# Every threshold
# ---------------
#
# ``RocDisplay`` and ``DetDisplay`` show what other thresholds would do. The DET curve
# stretches the rare errors. Two detectors on the same axes can be compared.

logistic = LogisticRegression().fit(digits.X_train, digits.y_train)
figure, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
for display, ax in zip([RocDisplay, DetDisplay], axes, strict=True):
    for estimator in (clf, logistic):
        display.from_estimator(estimator, X_test, X_ood=X_ood, ax=ax)

# %%
# Errors among what is accepted
# -----------------------------
#
# In ``RiskCoverageDisplay`` a wrong class is an error, and so is an unknown digit that
# is accepted. The curve should stay low for as long as possible. The dotted line is
# the best order of the same samples.

display = RiskCoverageDisplay.from_estimator(clf, X_test, y_test, X_ood=X_ood)
RiskCoverageDisplay.from_estimator(
    logistic, X_test, y_test, X_ood=X_ood, ax=display.ax_
)

# %%
# Can one believe the probabilities?
# ----------------------------------
#
# ``ReliabilityDisplay`` looks at known samples alone. Of those with a confidence of
# 80 %, 80 % should be right: then their marker is on the diagonal. Larger markers have
# more samples. These moons overlap, so no classifier can always be right. The first
# network was trained for too long on few points, and is too sure.

moons = make_ood_moons(1000, noise=0.5, test_size=0.9, random_state=0)
figure, ax = plt.subplots()
for max_epochs in (250, 25):
    clf = ConfidentClassifier(
        ood_source=None, max_epochs=max_epochs, random_state=0
    ).fit(moons.X_train, moons.y_train)
    ReliabilityDisplay.from_estimator(
        clf, moons.X_test, moons.y_test, n_bins=8, name=f"{max_epochs} epochs", ax=ax
    )

# %%
# Outside of this page, the pictures go into files.

if __name__ == "__main__":
    OUTPUT = Path("output")
    OUTPUT.mkdir(exist_ok=True)
    for number in plt.get_fignums():
        plt.figure(number).savefig(OUTPUT / f"display_{number}.png", dpi=110)
    print(f"Figures: {OUTPUT}/display_*.png")
