# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the scores of logits."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp, softmax
from scipy.stats import entropy as scipy_entropy

from confident_clf.scores import (
    LOGIT_SCORES,
    energy,
    entropy,
    gen,
    margin,
    max_logit,
    msp,
    msp_with_reject,
    score_logits,
)

METHODS = sorted(LOGIT_SCORES)


def random_logits(n_classes=5):
    """Return logits of ordinary size."""
    return np.random.default_rng(0).normal(scale=3, size=(200, n_classes))


def exact_scores(gap):
    """Return scores of logits [0, gap, 0], in 700 digits."""
    with localcontext() as context:
        context.prec = 700
        small = (-Decimal(gap)).exp()
        p_top = 1 / (1 + 2 * small)
        p_other = small * p_top
        nats = -(p_top * p_top.ln() + 2 * p_other * p_other.ln())
        power = Decimal("0.1")
        top_term = (p_top * 2 * p_other) ** power  # 1 - p_top is 2 * p_other
        other_term = (p_other * (1 - p_other)) ** power
        scores = {
            "energy": -(Decimal(gap) + (1 + 2 * small).ln()),
            "entropy": nats,
            "gen": top_term + 2 * other_term,
            "margin": 1 - p_top + p_other,
            "max_logit": -Decimal(gap),
            "msp": 1 - p_top,
        }
    return {name: float(score) for name, score in scores.items()}


@pytest.mark.parametrize("n_classes", [2, 5])
def test_against_scipy(n_classes):
    """Check that scores of ordinary logits are their textbook formulas."""
    logits = random_logits(n_classes)
    p = softmax(logits, axis=1)
    p_sorted = np.sort(p, axis=1)
    assert_allclose(msp(logits), 1 - p.max(axis=1), atol=1e-14)
    assert_allclose(energy(logits), -logsumexp(logits, axis=1))
    assert_allclose(max_logit(logits), -logits.max(axis=1))
    assert_allclose(entropy(logits), scipy_entropy(p, axis=1), atol=1e-14)
    assert_allclose(margin(logits), 1 - (p_sorted[:, -1] - p_sorted[:, -2]), atol=1e-14)
    assert_allclose(gen(logits), ((p * (1 - p)) ** 0.1).sum(axis=1))
    top = p_sorted[:, -2:]
    assert_allclose(gen(logits, 0.5, 2), np.sqrt(top * (1 - top)).sum(axis=1))


@pytest.mark.parametrize("gap", [0, 1, 20, 40, 100, 700])
@pytest.mark.parametrize("method", METHODS)
def test_saturated(method, gap):
    """Check that scores keep their digits where the top probability rounds to 1."""
    score = score_logits([[0.0, gap, 0.0]], method)
    assert_allclose(score, exact_scores(gap)[method], rtol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_confident_float32_samples_rank(method):
    """Check that the more confident of two saturated float32 samples scores lower."""
    logits = np.array([[0, 30, 0], [0, 35, 0]], dtype=np.float32)
    less, more = score_logits(logits, method)
    assert more < less


@pytest.mark.parametrize("method", METHODS)
def test_higher_for_undecided(method):
    """Check that undecided logits score higher than decided ones, by every method."""
    undecided, decided = score_logits([[1.0, 1.0, 1.0], [0.0, 4.0, 0.0]], method)
    assert undecided > decided


@pytest.mark.parametrize("method", ["entropy", "gen", "margin", "msp"])
def test_invariant_to_constant(method):
    """Check that a constant added to all logits does not change probabilities."""
    logits = random_logits()
    shifted = score_logits(logits + 1000.0, method)
    assert_allclose(shifted, score_logits(logits, method), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_impossible_class(method):
    """Check that a class with a logit of -inf counts for nothing."""
    logits = np.array([[2.0, -np.inf, 1.0, 0.5]])
    expected = score_logits(np.delete(logits, 1, axis=1), method)
    assert_allclose(score_logits(logits, method), expected)


@pytest.mark.parametrize("method", ["entropy", "gen", "margin", "msp"])
def test_certain_prediction(method):
    """Check that a probability of exactly 1 scores 0."""
    assert_array_equal(score_logits([[0.0, -np.inf, -np.inf]], method), [0.0])


@pytest.mark.parametrize("method", METHODS)
def test_nan(method):
    """Check that a NaN logit gives a NaN score, and only to its own row."""
    logits = [[np.nan, 1.0], [0.0, 1.0]]
    assert_array_equal(np.isnan(score_logits(logits, method)), [True, False])
    scores = score_logits(np.pad(logits, [(0, 0), (0, 1)]), method, rejects=True)
    assert_array_equal(np.isnan(scores), [True, False])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("method", METHODS)
def test_float64_and_unchanged_input(method, dtype):
    """Check that any dtype is scored in float64, without changes to the input."""
    logits = np.array([[0, 1], [4, 2]], dtype=dtype)
    logits.flags.writeable = False
    scores = score_logits(logits, method)
    assert scores.dtype == np.float64
    assert_array_equal(scores, score_logits(logits.astype(np.float64), method))


@pytest.mark.parametrize("method", METHODS)
def test_no_samples(method):
    """Check that no samples have no scores."""
    assert score_logits(np.empty((0, 3)), method).shape == (0,)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (2, 3, 4)])
@pytest.mark.parametrize("method", METHODS)
def test_wrong_shape(method, shape):
    """Check that logits of another shape are refused by naming it."""
    with pytest.raises(ValueError, match=r"at least two classes; got shape \(.*3"):
        score_logits(np.zeros(shape), method)


def test_unknown_method():
    """Check that an unknown method is refused by naming it and those there are."""
    with pytest.raises(ValueError, match=r"method='mps' .*'energy'.*'msp'"):
        score_logits([[0.0, 1.0]], "mps")


def test_names():
    """Check that each method is named after its function."""
    assert {name: f.__name__ for name, f in LOGIT_SCORES.items()} == {
        name: name for name in METHODS
    }


def test_msp_with_reject():
    """Check against softmax over all logits, at moderate and at extreme ones."""
    logits = 3 * np.random.default_rng(0).normal(size=(200, 5))
    p = softmax(logits, axis=1)
    np.testing.assert_allclose(
        msp_with_reject(logits), 1 - p[:, :-1].max(axis=1), rtol=1e-12
    )
    extreme = [[0.0, 60.0, 0.0], [0.0, -9.0, 2000.0], [900.0, 0.0, 0.0]]
    np.testing.assert_allclose(
        msp_with_reject(extreme), [2 * np.exp(-60), 1, 0], rtol=1e-12
    )


def test_gen_below_the_smallest_float():
    """Check that probabilities count that underflow, though not to the power of 0.1."""
    (score,) = gen([[0.0, 1000.0]])
    assert_allclose(score, 2 * np.exp(-100), rtol=1e-12)


def test_reject_is_spread_over_the_classes():
    """Check entropy, GEN and margin against probabilities that share the rejected."""
    logits = 3 * np.random.default_rng(0).normal(size=(200, 5))
    p = softmax(logits, axis=1)
    p = p[:, :4] + p[:, 4:] / 4
    p_sorted = np.sort(p, axis=1)
    expected = {
        "entropy": scipy_entropy(p, axis=1),
        "gen": ((p * (1 - p)) ** 0.1).sum(axis=1),
        "margin": 1 - (p_sorted[:, -1] - p_sorted[:, -2]),
    }
    for method, scores in expected.items():
        assert_allclose(score_logits(logits, method, rejects=True), scores, atol=1e-13)


def test_energy_with_reject_is_its_log_odds():
    """Check energy and maximum logit relative to the logit of rejection."""
    logits = 3 * np.random.default_rng(0).normal(size=(200, 5))
    p_reject = softmax(logits, axis=1)[:, 4]
    log_odds = np.log(p_reject / (1 - p_reject))
    assert_allclose(score_logits(logits, "energy", rejects=True), log_odds, atol=1e-12)
    largest = logits[:, :4].max(axis=1)
    scores = score_logits(logits, "max_logit", rejects=True)
    assert_allclose(scores, logits[:, 4] - largest)


@pytest.mark.parametrize("method", METHODS)
def test_surely_rejected(method):
    """Check that large logits of which that of rejection is the largest are OOD."""
    known, rejected = score_logits(
        [[5.0, 0.0, 0.0], [500.0, 0.0, 600.0]], method, rejects=True
    )
    assert rejected > known
