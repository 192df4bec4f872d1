# SPDX-License-Identifier: BSD-3-Clause
"""Known and unknown samples for quality.py, selection.py and beta_search.py."""

import numpy as np
from image_sets import load
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS = {"digits": 50, "fashion": 10, "cifar": 10}
# Number of training samples in selection.py and beta_search.py, which fit more often.
LIMITS = {"digits": None, "fashion": 5_000, "cifar": 4_000}


def digits(data, seed):
    """Return the digits 0-4 as known samples, 5-9 as unknown ones.

    Every task returns train X, y, test X, y, unknown samples to train on and unknown
    samples to test on.
    """
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    known = y < 5
    X_train, X_test, y_train, y_test = train_test_split(
        X[known], y[known], test_size=0.4, stratify=y[known], random_state=seed
    )
    seen, unseen = train_test_split(
        X[~known], test_size=0.4, stratify=y[~known], random_state=seed
    )
    return X_train, y_train, X_test, y_test, seen, unseen


def fashion(data, seed):
    """Return Fashion-MNIST as known, MNIST as unknown samples, for every seed alike."""
    return (
        *load(data, "fashion_mnist_train", 10_000),
        *load(data, "fashion_mnist_test"),
        load(data, "mnist_train", 10_000)[0],
        load(data, "mnist_test")[0],
    )


def cifar(data, seed):
    """Return CIFAR-10 as known samples; train on Tiny ImageNet, test on characters."""
    return (
        *load(data, "cifar10_train", 20_000),
        *load(data, "cifar10_test"),
        load(data, "tinyimagenet_val")[0],
        load(data, "streetview_chars")[0],
    )


TASKS = {"digits": digits, "fashion": fashion, "cifar": cifar}


def load_for_search(task, data, seed):
    """Return train X, y, test X, y and the unknown test sets by name.

    A set may be a name: `make_ood_scorer` makes "gaussian" itself.
    """
    X, y, X_test, y_test, seen, unseen = TASKS[task](data, seed)
    X, y = X[: LIMITS[task]], y[: LIMITS[task]]
    unknown = {"gaussian noise": "gaussian"}
    if task == "digits":
        unknown["digits 5-9"] = unseen
    elif task == "fashion":
        unknown["MNIST"] = unseen
    else:
        unknown |= {"street-view characters": unseen, "Tiny ImageNet": seen}
    return X, y, X_test, y_test, unknown
