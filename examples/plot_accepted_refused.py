# SPDX-License-Identifier: BSD-3-Clause
"""
====================
Accepted and refused
====================

A classifier learns the handwritten digits 0 to 4. An ordinary one would give every
digit 5 to 9 one of these five classes. This one refuses most of them. It keeps at least
95 % of the digits that it knows, on average: :class:`~confident_clf.OODDetector` sets
the threshold. The p-value below a digit says how usual it is among known ones.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, OODDetector
from confident_clf.plotting import DecisionsDisplay

OUTPUT = Path("output")


def main():
    """Train a detector, print two rates and draw what it accepts and refuses."""
    OUTPUT.mkdir(exist_ok=True)
    X, y = load_digits(return_X_y=True)
    known, unknown = X[y < 5] / 16, X[y >= 5] / 16
    X_train, X_test, y_train, _ = train_test_split(known, y[y < 5], random_state=0)
    clf = ConfidentClassifier(image_shape=(1, 8, 8), random_state=0)
    detector = OODDetector(clf, target_tpr=0.95, random_state=0).fit(X_train, y_train)

    figure, axes = plt.subplots(1, 2, figsize=(14, 4.7), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    titles = ["digits 0 to 4: known", "digits 5 to 9: never seen in training"]
    rng = np.random.default_rng(0)
    for ax, images, title in zip(axes, [X_test, unknown], titles, strict=True):
        share = np.mean(detector.predict(images) == 1)
        print(f"{title}: {share:.0%} accepted, {1 - share:.0%} refused")
        shown = rng.choice(images, 40, replace=False)
        DecisionsDisplay.from_estimator(
            detector, shown, name=title, ax=ax, cmap="gray_r"
        )
    figure.savefig(OUTPUT / "accepted_refused.png", dpi=110)
    print(f"\nFigure: {OUTPUT}/accepted_refused.png")


if __name__ == "__main__":
    main()
