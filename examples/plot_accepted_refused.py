# SPDX-License-Identifier: BSD-3-Clause
"""
====================
Accepted and refused
====================

A classifier learns the handwritten digits 0 to 4. An ordinary one would give every
digit 5 to 9 one of these five classes. This one refuses most of them. It keeps at least
95 % of the digits that it knows, on average: :class:`~confident_clf.OODDetector` sets
the threshold.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from confident_clf import ConfidentClassifier, OODDetector

OUTPUT = Path("output")
N_COLUMNS, N_ROWS = 10, 4
BLUE, ORANGE = "#0072b2", "#d55e00"  # told apart by the colour-blind too


def draw(subfigure, images, accepted, answers, title):
    """Draw images: blue with the predicted class, or orange and faded if refused."""
    subfigure.suptitle(title, fontsize=13)
    for i, ax in enumerate(subfigure.subplots(N_ROWS, N_COLUMNS).flat):
        ax.imshow(
            images[i].reshape(8, 8), cmap="gray_r", alpha=1 if accepted[i] else 0.4
        )
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color=BLUE if accepted[i] else ORANGE, linewidth=2)
        name = str(answers[i]) if accepted[i] else "refused"
        ax.set_xlabel(name, color=BLUE if accepted[i] else ORANGE, labelpad=2)


def main():
    """Train a detector, print two rates and draw what it accepts and refuses."""
    OUTPUT.mkdir(exist_ok=True)
    X, y = load_digits(return_X_y=True)
    known, unknown = X[y < 5] / 16, X[y >= 5] / 16
    X_train, X_test, y_train, _ = train_test_split(known, y[y < 5], random_state=0)
    clf = ConfidentClassifier(image_shape=(1, 8, 8), random_state=0)
    detector = OODDetector(clf, target_tpr=0.95, random_state=0).fit(X_train, y_train)

    figure = plt.figure(figsize=(13, 4), layout="constrained")
    titles = ["digits 0 to 4: known", "digits 5 to 9: never seen in training"]
    rng = np.random.default_rng(0)
    for subfigure, images, title in zip(
        figure.subfigures(1, 2, wspace=0.04), [X_test, unknown], titles, strict=True
    ):
        share = np.mean(detector.predict(images) == 1)
        print(f"{title}: {share:.0%} accepted, {1 - share:.0%} refused")
        shown = rng.choice(images, N_ROWS * N_COLUMNS, replace=False)
        accepted = detector.predict(shown) == 1
        draw(subfigure, shown, accepted, detector.estimator_.predict(shown), title)
    figure.savefig(OUTPUT / "accepted_refused.png", dpi=110)
    print(f"\nFigure: {OUTPUT}/accepted_refused.png")


if __name__ == "__main__":
    main()
