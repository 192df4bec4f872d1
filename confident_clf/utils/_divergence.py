# SPDX-License-Identifier: BSD-3-Clause
"""Stop a training that diverges before its weights are lost."""

from contextlib import contextmanager
from types import SimpleNamespace

import torch


class DivergenceError(FloatingPointError):
    """A training has left the finite numbers, and was stopped.

    :meth:`ConfidentClassifier.fit <confident_clf.ConfidentClassifier.fit>` raises it
    when a loss, a gradient or a weight is no longer finite. The step that would have
    brought it into the weights is not made and the estimator is as it was before the
    call. What was learnt up to the last finished epoch is in `classifier`.

    Parameters
    ----------
    player : str
        Who diverged: "classifier", "generator", "discriminator" or a source.
    loss : float or None, default=None
        The player's loss; None where it was not read, on a GPU.
    epoch : int or None, default=None
        The epoch, counted from 1.
    batch : int or None, default=None
        The batch of that epoch, counted from 1.

    Attributes
    ----------
    classifier : ConfidentClassifier or None
        The fitted classifier with the weights of the last finished epoch; None where
        none was finished, and once the error was pickled.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf import ConfidentClassifier, DivergenceError
    >>> X, y = np.eye(100), np.arange(100) % 2
    >>> try:
    ...     ConfidentClassifier(lr=1e30, ood_source=None).fit(X, y)
    ... except DivergenceError as error:
    ...     print(error.player, error.epoch)
    classifier 1
    """

    def __init__(self, player, loss=None, epoch=None, batch=None):
        super().__init__(player, loss, epoch, batch)
        self.player = player
        self.loss = loss
        self.epoch = epoch
        self.batch = batch
        self.classifier = None

    def __reduce__(self):
        # Without the classifier, whose module may be one that cannot be pickled.
        return type(self), (self.player, self.loss, self.epoch, self.batch)

    def __str__(self):
        loss = "" if self.loss is None else f" (loss {self.loss:.6g})"
        kept = (
            "No epoch of this call was finished."
            if self.classifier is None
            else "The attribute 'classifier' of this error is the classifier as it was "
            f"after epoch {self.classifier.n_epochs_}."
        )
        return (
            f"The training of the {self.player} diverged in epoch {self.epoch}, batch "
            f"{self.batch}: its loss, a gradient or a weight is not finite{loss}. "
            "Use a smaller learning rate (lr, and gan_lr for a GAN), scale the "
            f"features, or set precision='float32'. {kept}"
        )


def refuse_non_finite(player, loss, parameters, optimizer):
    """Let no gradient that is not finite reach the weights.

    On the CPU that raises. A fused optimizer on a GPU gets a flag instead, so that
    nobody waits for the GPU: with it set it moves nothing, from there on. `located`
    reads it at the end of an epoch. Only the gradients are looked at, as it is through
    them that a loss reaches the weights: for small networks every call counts.

    Parameters
    ----------
    player : str
        Whose loss it is.
    loss : Tensor of shape ()
        The loss, after its backward pass.
    parameters : list of Tensor
        What the optimizer is about to move.
    optimizer : torch.optim.Optimizer
        The player's.

    Raises
    ------
    DivergenceError
        If a gradient is not finite, with neither epoch nor batch.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if loss.is_cuda and optimizer.defaults.get("fused"):
        if not hasattr(optimizer, "found_inf"):
            optimizer.found_inf = _new_flag(loss.device)
            optimizer.player = player
        _mark_non_finite(gradients, optimizer.found_inf)
        return
    if not hasattr(optimizer, "non_finite"):
        optimizer.non_finite = _new_flag(loss.device)
    if _mark_non_finite(gradients, optimizer.non_finite).item():
        del optimizer.non_finite
        raise DivergenceError(player, loss.item())


def _new_flag(device):
    """Return a flag that is not set."""
    return torch.zeros((), dtype=torch.float32, device=device)


def _mark_non_finite(values, flag):
    """Set `flag` to 1 if a tensor is not finite; return it.

    The one kernel for many tensors is that of mixed-precision training. It also
    multiplies them, here by one.
    """
    one = _ONE if flag.device == _ONE.device else torch.ones_like(flag)
    has_kernel = flag.device.type in ("cpu", "cuda")
    dtypes = {value.dtype for value in values}
    if has_kernel and len(dtypes) == 1 and values[0].is_floating_point():
        torch._amp_foreach_non_finite_check_and_unscale_(values, flag, one)
        return flag
    finite = torch.stack([value.isfinite().all() for value in values]).all()
    return flag.logical_or_(~finite)


_ONE = torch.ones((), dtype=torch.float32)


@contextmanager
def located(epoch, optimizers):
    """Say of a divergence in the block where it was, and look for one on a GPU.

    Parameters
    ----------
    epoch : int
        The number of the epoch that the block is.
    optimizers : list of torch.optim.Optimizer
        Those that move in it, in the order of their steps.

    Yields
    ------
    SimpleNamespace
        Its attribute `batch` is to be kept at the number of the batch.
    """
    place = SimpleNamespace(batch=None)
    before = [_n_steps_done(optimizer) for optimizer in optimizers]
    try:
        yield place
        _raise_if_stopped(place, optimizers, before)
    except DivergenceError as error:
        error.epoch, error.batch = epoch, place.batch
        raise


def _raise_if_stopped(place, optimizers, before):
    """Raise DivergenceError if a flag on a GPU has stopped an optimizer."""
    stopped = [
        (_n_steps_done(optimizer) - n_before + 1, optimizer.player)
        for optimizer, n_before in zip(optimizers, before, strict=True)
        if hasattr(optimizer, "found_inf") and optimizer.found_inf.item()
    ]
    if stopped:
        place.batch, player = min(stopped, key=lambda pair: pair[0])
        for optimizer in optimizers:
            vars(optimizer).pop("found_inf", None)
        raise DivergenceError(player)


def _n_steps_done(optimizer):
    """Return how many steps Adam has made; one that a flag has stopped is none."""
    states = iter(optimizer.state.values())
    return int(next(states, {}).get("step", 0))


def check_weights(player, network):
    """Raise DivergenceError if a network's weights or statistics are not finite.

    Parameters
    ----------
    player : str
        Whose network it is.
    network : nn.Module
        The network.
    """
    state = filter(torch.is_tensor, network.state_dict().values())
    finite = [tensor.isfinite().all() for tensor in state]
    if finite and not torch.stack(finite).all():
        raise DivergenceError(player)
