# SPDX-License-Identifier: BSD-3-Clause
"""Scores computed from logits alone.

The probability of a confident prediction rounds to 1 in any float format, so thousands
of samples would tie. So nothing here subtracts a probability from 1. Let r_k =
exp(logit_k - top) for the classes other than the top one, and R their sum. Then p_top =
1 / (1 + R), p_k = r_k / (1 + R) and 1 - p_top = R / (1 + R). The last one keeps its 16
digits, however small it is.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr, expit, logsumexp


def msp(logits: ArrayLike) -> np.ndarray:
    """Score by 1 minus the maximum softmax probability, the baseline.

    Introduced in [1]_. With the softmax probabilities p_k the score is::

        1 - max_k p_k.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf means a probability of 0.

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


def msp_with_reject(logits: ArrayLike) -> np.ndarray:
    """Score by 1 minus the maximum probability of a class, with a reject logit.

    With the softmax probabilities p_k of the classes and p_reject of the reject logit,
    which is the last one and means "none of the classes", the score is::

        1 - max_k p_k.

    This is :func:`msp`, except that p_reject cannot be the maximum.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes + 1)
        Logits, with the reject logit last.

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


def energy(logits: ArrayLike) -> np.ndarray:
    """Score by the free energy of the logits, at temperature 1.

    Introduced in [1]_. The score is::

        -log sum_k exp(logit_k).

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits. With log probabilities, every energy would be 0.

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


def max_logit(logits: ArrayLike) -> np.ndarray:
    """Score by the negative largest logit.

    Introduced in [1]_. The score is::

        -max_k logit_k.

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


def entropy(logits: ArrayLike) -> np.ndarray:
    """Score by the entropy of the softmax probabilities, in nats.

    With the softmax probabilities p_k the score is::

        -sum_k p_k log p_k.

    It equals log n_classes minus the divergence of the probabilities from the uniform
    distribution. The confidence loss of [1]_ drives the predictions for
    out-of-distribution samples to that distribution.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf means a probability of 0.

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


def margin(logits: ArrayLike) -> np.ndarray:
    """Score by 1 minus the gap between the two largest softmax probabilities.

    With p_1 and p_2 the two largest softmax probabilities, the score is::

        1 - (p_1 - p_2).

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf means a probability of 0.

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


def gen(logits: ArrayLike, gamma: float = 0.1, n_top: int = 100) -> np.ndarray:
    """Score by the generalised entropy of the softmax probabilities.

    Introduced in [1]_. With the `n_top` largest probabilities p_k the score is::

        sum_k (p_k * (1 - p_k)) ** gamma.

    With a small `gamma` it distinguishes predictions by their small probabilities,
    which hardly change the entropy.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits, or log probabilities; -inf means a probability of 0.
    gamma : float, default=0.1
        Exponent, between 0 and 1.
    n_top : int, default=100
        How many classes count, starting from the most probable one. With fewer
        classes, all count.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        0 or more, higher for out-of-distribution.

    Raises
    ------
    ValueError
        If `logits` is not two-dimensional with at least two classes.

    References
    ----------
    .. [1] Liu, Lochman and Zach, "GEN: Pushing the Limits of Softmax-Based
       Out-of-Distribution Detection", CVPR 2023, eq. (4) and (5).

    Examples
    --------
    >>> from confident_clf.scores import gen
    >>> gen([[0.0, 0.0], [0.0, 5.0]]).round(3).tolist()
    [1.741, 1.211]
    """
    logits = _check_logits(logits)
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    others = logits.copy()
    others[rows, top] = -np.inf
    rest = logsumexp(others, axis=1)
    total = logsumexp(logits, axis=1)
    # Use logarithms: a probability may underflow while its power still counts.
    log_p = logits - total[:, np.newaxis]
    p = np.exp(log_p)
    p[rows, top] = 0.0
    log_not_p = np.log1p(-p)
    log_not_p[rows, top] = rest - total
    terms = np.exp(gamma * (log_p + log_not_p))
    if n_top < terms.shape[1]:
        largest = np.argpartition(-logits, n_top - 1, axis=1)[:, :n_top]
        terms = np.take_along_axis(terms, largest, axis=1)
    return terms.sum(axis=1)


LOGIT_SCORES = {
    "energy": energy,
    "entropy": entropy,
    "gen": gen,
    "margin": margin,
    "max_logit": max_logit,
    "msp": msp,
}


def score_logits(
    logits: ArrayLike, method: str, *, rejects: bool = False
) -> np.ndarray:
    """Return the out-of-distribution score of each row of logits.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes)
        Logits. With `rejects`, there is one more column.
    method : {"energy", "entropy", "gen", "margin", "max_logit", "msp"}
        Which score.
    rejects : bool, default=False
        Whether the last logit is a reject logit, for "none of the classes". Then "msp"
        is :func:`msp_with_reject`. "energy" and "max_logit" subtract the reject logit
        from the other logits first, so "energy" is the log-odds of rejection.
        "entropy", "gen" and "margin" spread the probability of rejection evenly over
        the classes first.

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
    if not rejects:
        return LOGIT_SCORES[method](logits)
    if method == "msp":
        return msp_with_reject(logits)
    of_sizes = method in ("energy", "max_logit")
    to_classes = relative_to_reject if of_sizes else spread_reject
    return LOGIT_SCORES[method](to_classes(logits))


# One sample in 20 is taken to be unknown.
ODDS_OF_UNKNOWN = 1 / 19


def class_logits(outputs: ArrayLike, n_classes: int) -> np.ndarray:
    """Return logits whose softmax is `predict_proba`, from the outputs of a network.

    Training shows as many out-of-distribution samples as known ones. In use they are
    rarer: if the last output is a reject logit, `ODDS_OF_UNKNOWN` is what is expected.
    """
    if np.shape(outputs)[1] == n_classes:
        return np.asarray(outputs, dtype=np.float64)
    return spread_reject(outputs, odds=ODDS_OF_UNKNOWN)


def spread_reject(logits: ArrayLike, odds: float = 1.0) -> np.ndarray:
    """Return logits of the classes that share the probability of rejection evenly.

    Their softmax is the softmax of `logits`, where the reject logit is last, plus
    ``p_reject / n_classes`` for each class. So a sample that is surely rejected is
    undecided between the classes. `odds` multiplies the odds of rejection first.
    """
    logits = _check_logits(logits)
    share = logits[:, -1:] + np.log(odds) - np.log(logits.shape[1] - 1)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return np.logaddexp(logits[:, :-1], share)


def relative_to_reject(logits: ArrayLike) -> np.ndarray:
    """Return the logits of the classes minus the reject logit, which is last.

    Training only changes differences of logits: all of them may be large if the reject
    logit is larger still.
    """
    logits = _check_logits(logits)
    return logits[:, :-1] - logits[:, -1:]


def _split_top(logits: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the top logit, and exp(logit - top) of the other classes, 0 at the top."""
    logits = _check_logits(logits)
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    top_logit = logits[rows, top]
    rest = np.exp(logits - top_logit[:, None])
    rest[rows, top] = 0.0
    return top_logit, rest


def _check_logits(logits: ArrayLike) -> np.ndarray:
    """Return logits as float64; raise ValueError unless they have 2 columns or more."""
    logits = np.asarray(logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "logits must have shape (n_samples, n_classes) with at least two classes; "
            f"got shape {logits.shape}."
        )
    return logits
