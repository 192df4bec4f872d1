# SPDX-License-Identifier: BSD-3-Clause
"""
=====================================
A trained network, without retraining
=====================================

You have a classifier that torch has trained, and want to know which samples it does not
know. ``ConfidentClassifier.from_trained`` takes the network as it is. Scores of the
logits work at once; scores of the features, such as "knn", look at the training samples
once more.

The network here is trained in plain torch on the digits 0 to 4; the digits 5 to 9 are
unknown to it. In the second part it is trained further, for other digits: its last
layer alone, while all the rest stays frozen.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from confident_clf import ConfidentClassifier
from confident_clf.metrics import auroc

OUTPUT = Path("output")
SCORES = ["msp", "energy", "knn", "vim"]
EPOCHS = 10

# %%
# A network, trained in plain torch
# ---------------------------------


def load():
    """Return images of digits, and their labels."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32).reshape(-1, 1, 8, 8), y


def train(loader):
    """Return a network for the digits 0 to 4."""
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, 5),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    return network.eval()


# %%
# Which digits does it not know?
# ------------------------------


def score_all(network, loader, known, unknown):
    """Return confidences of known and unknown digits by each score."""
    confidences = {}
    for method in SCORES:
        clf = ConfidentClassifier.from_trained(network, classes=5, method=method)
        clf.fit_method(loader)  # "msp" and "energy" do not need it
        confidences[method] = clf.score_samples(known), clf.score_samples(unknown)
    return confidences


def plot(confidences):
    """Draw histograms of all scores."""
    figure, axes = plt.subplots(1, len(confidences), figsize=(12, 3))
    for axis, (method, (known, unknown)) in zip(axes, confidences.items(), strict=True):
        bins = np.linspace(
            *np.quantile(np.concatenate([known, unknown]), [0.01, 1]), 40
        )
        axis.hist([known, unknown], bins, density=True, label=["0-4", "5-9"])
        axis.set_title(method)
        axis.set_yticks([])
    axes[0].legend()
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "trained_network.png", bbox_inches="tight")


# %%
# Other digits, by the last layer alone
# -------------------------------------


def train_last_layer(network, X, y):
    """Return a classifier for five other digits; the network stays as it is."""
    clf = ConfidentClassifier(
        network,
        ood_source=None,
        lr=0.03,
        backbone_lr=0,
        max_epochs=40,
        method="knn",
        random_state=0,
    )
    return clf.fit(X, y)


def main():
    """Score unknown digits, then learn them."""
    torch.manual_seed(0)
    X, y = load()
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    known = y_train < 5
    data = TensorDataset(torch.tensor(X_train[known]), torch.tensor(y_train[known]))
    loader = DataLoader(data, batch_size=64, shuffle=True)
    network = train(loader)

    confidences = score_all(network, loader, X_test[y_test < 5], X_test[y_test >= 5])
    print("score   AUROC")
    for method, (inside, outside) in confidences.items():
        is_known = np.repeat([1, 0], [len(inside), len(outside)])
        area = auroc(is_known, np.concatenate([inside, outside]))
        print(f"{method:7s} {area:.3f}")
    plot(confidences)

    clf = train_last_layer(network, X_train[~known], y_train[~known])
    accuracy = clf.score(X_test[y_test >= 5], y_test[y_test >= 5])
    print(f"accuracy on 5 to 9, last layer alone: {accuracy:.3f}")


if __name__ == "__main__":
    main()
