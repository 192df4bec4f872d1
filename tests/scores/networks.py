# SPDX-License-Identifier: BSD-3-Clause
"""A network in NumPy, to check scores by."""

import numpy as np
from scipy.special import expit


class SmoothNetwork:
    """One hidden layer with softplus, float64; what scores see of a network."""

    def __init__(self, n_inputs=4, n_hidden=6, n_classes=3, n_outputs=None, seed=0):
        rng = np.random.default_rng(seed)
        self.n_classes = n_classes
        self.first = rng.normal(size=(n_inputs, n_hidden))
        self.weight = rng.normal(size=(n_outputs or n_classes, n_hidden))
        self.bias = rng.normal(size=n_outputs or n_classes)

    def __call__(self, X):
        return self.features(X) @ self.weight.T + self.bias

    def features(self, X):
        return np.logaddexp(0, X @ self.first)

    def head(self, X):
        return self.weight, self.bias

    def gradient(self, X, weights):
        weights = weights(self(X))
        return (weights @ self.weight * expit(X @ self.first)) @ self.first.T

    def batches(self, X):
        yield from np.array_split(X, 3)
