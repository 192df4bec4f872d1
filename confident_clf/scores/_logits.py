# SPDX-License-Identifier: BSD-3-Clause
"""Scores computed from logits alone.

The probability of a confident prediction rounds to 1, whatever the float: thousands of
samples tie. So nothing here subtracts from 1. With r_k = exp(logit_k - top) for the
classes other than the top one and R their sum, p_top = 1 / (1 + R), p_k = r_k / (1 + R)
and 1 - p_top = R / (1 + R), which keeps its 16 digits however small it is.
"""

import numpy as np
from scipy.special import entr, expit, logsumexp


def msp(logits):
    """Score by 1 minus the maximum softmax probability, the baseline of [1]_.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf stands for a probability of 0.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and 1 - 1 / n_classes, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two classes.

    References
    ----------
    .. [1] Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and
       Out-of-Distribution Examples in Neural Networks", ICLR 2017.

    Examples
    --------
    >>> from confident_clf.scores import msp
    >>> msp([[0.0, 0.0], [0.0, 50.0], [0.0, 60.0]]).tolist()
    [0.5, 1.9287498479639178e-22, 8.75651076269652e-27]
    """
    _, rest = _split_top(logits)
    total = rest.sum(axis=1)
    return total / (1 + total)


def msp_with_reject(logits):
    """Score by 1 minus the maximum probability of a class, beside a reject logit.

    As :func:`msp`, but the last logit stands for "none of the classes": it takes
    probability from them and cannot be the maximum.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes + 1)
        Logits, the last one that of rejection.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and 1, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two columns.

    Examples
    --------
    >>> from confident_clf.scores import msp_with_reject
    >>> msp_with_reject([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [9.0, 0.0, 99.0]]).round(
    ...     3
    ... ).tolist()
    [0.667, 0.0, 1.0]
    """
    logits = _check_logits(logits)
    rows, top = np.arange(len(logits)), logits[:, :-1].argmax(axis=1)
    others = logits.copy()
    others[rows, top] = -np.inf
    return expit(logsumexp(others, axis=1) - logits[rows, top])


def energy(logits):
    """Score by the free energy -log sum_k exp(logit_k), at temperature 1 [1]_.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits; of log probabilities, every energy would be 0.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Any real number, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two classes.

    References
    ----------
    .. [1] Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020,
       eq. (4).

    Examples
    --------
    >>> from confident_clf.scores import energy
    >>> energy([[0.0, 0.0], [0.0, 5.0]]).round(3).tolist()
    [-0.693, -5.007]
    """
    top, rest = _split_top(logits)
    return -(top + np.log1p(rest.sum(axis=1)))


def max_logit(logits):
    """Score by minus the largest logit [1]_.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Any real number, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two classes.

    References
    ----------
    .. [1] Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World
       Settings", ICML 2022.

    Examples
    --------
    >>> from confident_clf.scores import max_logit
    >>> max_logit([[1.0, 0.0], [0.0, 5.0]]).tolist()
    [-1.0, -5.0]
    """
    return -_check_logits(logits).max(axis=1)


def entropy(logits):
    """Score by the entropy of the softmax probabilities, in nats.

    It is log n_classes minus the divergence of the probabilities from the uniform
    distribution, to which the confidence loss of [1]_ drives out-of-distribution
    samples.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf stands for a probability of 0.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and log n_classes, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two classes.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (1).

    Examples
    --------
    >>> from confident_clf.scores import entropy
    >>> entropy([[0.0, 0.0], [0.0, 5.0]]).round(3).tolist()
    [0.693, 0.04]
    """
    _, rest = _split_top(logits)
    total = rest.sum(axis=1)
    # -sum p log p with log p_k = log r_k - log(1 + R); the top class has r = 1.
    return np.log1p(total) + entr(rest).sum(axis=1) / (1 + total)


def margin(logits):
    """Score by 1 minus the gap between the two largest softmax probabilities.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf stands for a probability of 0.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Between 0 and 1, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two classes.

    Examples
    --------
    >>> from confident_clf.scores import margin
    >>> margin([[0.0, 0.0], [0.0, 5.0]]).round(3).tolist()
    [1.0, 0.013]
    """
    _, rest = _split_top(logits)
    total = rest.sum(axis=1)
    return (total + rest.max(axis=1)) / (1 + total)  # (1 - p_1) + p_2


LOGIT_SCORES = {
    "energy": energy,
    "entropy": entropy,
    "margin": margin,
    "max_logit": max_logit,
    "msp": msp,
}


def score_logits(logits, method):
    """Return the out-of-distribution score of each row of logits.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits.
    method : {"energy", "entropy", "margin", "max_logit", "msp"}
        Which score.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Higher for out-of-distribution.

    Raises
    ------
    ValueError
        If there is no such method, or `logits` is not two-dimensional with at least
        two classes.

    Examples
    --------
    >>> from confident_clf.scores import score_logits
    >>> score_logits([[0.0, 0.0], [0.0, 5.0]], "margin").round(3).tolist()
    [1.0, 0.013]
    """
    if method not in LOGIT_SCORES:
        raise ValueError(
            f"method={method!r} is not a score of logits. Choose one of "
            f"{', '.join(map(repr, LOGIT_SCORES))}."
        )
    return LOGIT_SCORES[method](logits)


def _split_top(logits):
    """Return the top logit, and exp(logit - top) of the other classes, 0 at the top."""
    logits = _check_logits(logits)
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    top_logit = logits[rows, top]
    rest = np.exp(logits - top_logit[:, None])
    rest[rows, top] = 0.0
    return top_logit, rest


def _check_logits(logits):
    """Return logits as float64; raise ValueError unless they are (n, 2 or more)."""
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "logits must have shape (n_samples, n_classes) with at least two classes; "
            f"got shape {logits.shape}."
        )
    return logits
