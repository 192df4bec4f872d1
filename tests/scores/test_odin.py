# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ODIN."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax

from confident_clf.scores import ODIN, msp, odin
from tests.scores.networks import SmoothNetwork

X = np.random.default_rng(1).normal(size=(20, 4))


def liang(network, x, temperature, epsilon):
    """Return the score of one sample as the paper writes it, by finite differences."""
    n_classes = network.n_classes
    top = network(x[None])[0, :n_classes].argmax()

    def log_s(x):
        return log_softmax(network(x[None])[0] / temperature)[top]

    x_new = x - epsilon * np.sign(-approx_fprime(x, log_s, 1e-6))
    return 1 - softmax(network(x_new[None])[0] / temperature)[:n_classes].max()


@pytest.mark.parametrize("n_outputs", [3, 4])
@pytest.mark.parametrize(
    ("temperature", "epsilon"), [(1, 0.1), (1000, 0.1), (10, 0.0014), (5, 0)]
)
def test_against_the_paper(temperature, epsilon, n_outputs):
    """Check against eq. (1) and (2), with a logit of rejection too."""
    network = SmoothNetwork(n_outputs=n_outputs)
    expected = [liang(network, x, temperature, epsilon) for x in X]
    assert_allclose(odin(network, X, temperature, epsilon), expected, rtol=1e-10)
    score = ODIN(temperature=temperature, epsilon=epsilon)
    assert_array_equal(
        score.ood_score(network, X), odin(network, X, temperature, epsilon)
    )


def test_defaults():
    """Check that the object's defaults are the function's, and the paper's."""
    expected = odin(SmoothNetwork(), X, 1000, 0.0014)
    assert_array_equal(odin(SmoothNetwork(), X), expected)
    assert_array_equal(ODIN().ood_score(SmoothNetwork(), X), expected)


def test_a_step_makes_surer():
    """Check the direction of the step: every score falls."""
    network = SmoothNetwork()
    assert (odin(network, X, 1, 0.01) < msp(network(X))).all()


def test_a_sure_sample_moves_too():
    """Check the step where the largest probability rounds to 1."""
    network = SmoothNetwork()
    network.weight, network.bias = 50 * network.weight, 50 * network.bias
    sure = X[softmax(network(X), axis=1).max(axis=1) == 1]
    assert len(sure) > 10
    assert (odin(network, sure, 1.0, 1e-3) < msp(network(sure))).all()


def test_float32_stays_float32():
    """Check that the network sees samples of the dtype that it gets."""

    class Recording(SmoothNetwork):
        dtypes = []

        def __call__(self, X):
            self.dtypes.append(X.dtype)
            return super().__call__(X).astype(np.float64)

    assert odin(Recording(), X.astype(np.float32)).dtype == np.float64
    assert set(Recording.dtypes) == {np.dtype(np.float32)}
