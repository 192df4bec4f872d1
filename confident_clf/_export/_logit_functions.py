# SPDX-License-Identifier: BSD-3-Clause
"""The scores of logits as functions of tensors, float64, that ONNX can express.

They are the formulas of ``scores/_logits.py``, which says why nothing here subtracts a
probability from 1.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from confident_clf.scores._logits import ODDS_OF_UNKNOWN


def log1p(x: Tensor) -> Tensor:
    """Return log(1 + x) with all digits, also where x is tiny.

    ONNX does not have log1p, and torch would write the logarithm of a rounded sum. The
    quotient takes the rounding of the sum out again [Goldberg 1991, theorem 4].
    """
    y = 1 + x
    return torch.where(y == 1, x, torch.log(y) * x / torch.where(y == 1, 1.0, y - 1))


def log_add_exp(one: Tensor, other: Tensor) -> Tensor:
    """Return log(exp(one) + exp(other))."""
    return torch.maximum(one, other) + log1p(torch.exp(-torch.abs(one - other)))


def is_top(logits: Tensor) -> Tensor:
    """Return where the first largest logit of each row is, (n, k) bool."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    return classes == logits.argmax(dim=1, keepdim=True)


def relative_sizes(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the top logit, logits minus it, and exp of these, 0 at the top."""
    top = logits.amax(dim=1, keepdim=True)
    below = logits - top
    return top[:, 0], below, torch.where(is_top(logits), 0.0, torch.exp(below))


def msp(logits: Tensor) -> Tensor:
    """Return 1 minus the largest probability."""
    total = relative_sizes(logits)[2].sum(dim=1)
    return total / (1 + total)


def msp_with_reject(logits: Tensor) -> Tensor:
    """Return 1 minus the largest probability of a class; the last logit is none."""
    of_classes = logits[:, :-1]
    others = torch.where(is_top(of_classes), -math.inf, of_classes)
    others = torch.cat([others, logits[:, -1:]], dim=1)
    return torch.sigmoid(torch.logsumexp(others, dim=1) - of_classes.amax(dim=1))


def energy(logits: Tensor) -> Tensor:
    """Return the free energy."""
    top, _, rest = relative_sizes(logits)
    return -(top + log1p(rest.sum(dim=1)))


def max_logit(logits: Tensor) -> Tensor:
    """Return minus the largest logit."""
    return -logits.amax(dim=1)


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the probabilities."""
    _, below, rest = relative_sizes(logits)
    total = rest.sum(dim=1)
    return log1p(total) - (rest * below).sum(dim=1) / (1 + total)


def margin(logits: Tensor) -> Tensor:
    """Return 1 minus the gap between the two largest probabilities."""
    rest = relative_sizes(logits)[2]
    total = rest.sum(dim=1)
    return (total + rest.amax(dim=1)) / (1 + total)


def gen(logits: Tensor, gamma: float = 0.1, n_top: int = 100) -> Tensor:
    """Return the generalised entropy of the `n_top` largest probabilities."""
    top, total = is_top(logits), torch.logsumexp(logits, dim=1, keepdim=True)
    others = torch.where(top, -math.inf, logits)
    rest = torch.logsumexp(others, dim=1, keepdim=True)
    # No p but the largest is above 1/2, so log(1 - p) has enough digits for the others.
    p = torch.exp(others - total)
    log_not_p = torch.where(top, rest - total, torch.log(1 - p))
    terms = torch.exp(gamma * (logits - total + log_not_p))
    if n_top < logits.shape[1]:
        terms = terms.gather(1, logits.topk(n_top, dim=1).indices)
    return terms.sum(dim=1)


def spread_reject(logits: Tensor, odds: float = 1.0) -> Tensor:
    """Return logits of the classes that share the probability of rejection evenly."""
    share = logits[:, -1:] + (math.log(odds) - math.log(logits.shape[1] - 1))
    return log_add_exp(logits[:, :-1], share)


def relative_to_reject(logits: Tensor) -> Tensor:
    """Return the logits of the classes minus the reject logit, which is last."""
    return logits[:, :-1] - logits[:, -1:]


def class_logits(outputs: Tensor, rejects: bool) -> Tensor:
    """Return logits whose softmax is `predict_proba`."""
    return spread_reject(outputs, odds=ODDS_OF_UNKNOWN) if rejects else outputs


FUNCTIONS = {
    "energy": energy,
    "entropy": entropy,
    "gen": gen,
    "margin": margin,
    "max_logit": max_logit,
    "msp": msp,
}


def named(name: str, rejects: bool) -> Callable[[Tensor], Tensor]:
    """Return the score of logits of this name, as `score_logits` chooses it."""
    function = FUNCTIONS[name]
    if not rejects:
        return function
    if name == "msp":
        return msp_with_reject
    of_sizes = name in ("energy", "max_logit")
    to_classes = relative_to_reject if of_sizes else spread_reject
    return lambda logits: function(to_classes(logits))
