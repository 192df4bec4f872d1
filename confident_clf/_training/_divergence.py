# SPDX-License-Identifier: BSD-3-Clause
"""Stop a training that diverges, before its weights are lost."""

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from confident_clf.utils._torch import mark_non_finite


class DivergenceError(FloatingPointError):
    """The training was stopped because a number in it is not finite.

    :meth:`ConfidentClassifier.fit <confident_clf.ConfidentClassifier.fit>` raises this
    error when a loss, a gradient or a weight is not finite. The step that would have
    moved the weights there is not made, and the estimator is as it was before the call.
    The attribute `classifier` holds the state after the last finished epoch.

    Parameters
    ----------
    player : str
        The network that diverged: "classifier", "generator", "discriminator", or the
        class name of a source.
    loss : float or None, default=None
        The player's loss. None on a GPU, where it was not read.
    epoch : int or None, default=None
        The epoch, counted from 1.
    batch : int or None, default=None
        The batch of that epoch, counted from 1.

    Attributes
    ----------
    classifier : ConfidentClassifier or None
        The fitted classifier with the weights of the last finished epoch. None if no
        epoch was finished, and after the error was pickled.

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

    def __init__(
        self,
        player: str,
        loss: float | None = None,
        epoch: int | None = None,
        batch: int | None = None,
    ):
        super().__init__(player, loss, epoch, batch)
        self.player = player
        self.loss = loss
        self.epoch = epoch
        self.batch = batch
        self.classifier = None

    def __reduce__(self):
        # Without the classifier: its module may be one that cannot be pickled.
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


def refuse_non_finite(
    player: str, loss: Tensor, parameters: list[Tensor], optimizer: Any
) -> None:
    """Keep gradients that are not finite out of the weights.

    On the CPU this raises DivergenceError. On a GPU a fused optimizer gets a flag
    instead, so that nothing waits for the GPU: once it is set, the optimizer moves
    nothing. `located` reads the flag at the end of the epoch. Only gradients are looked
    at, since a loss reaches the weights through them: for small networks every call
    counts.
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


def _new_flag(device: torch.device) -> Tensor:
    """Return a flag that is not set."""
    return torch.zeros((), dtype=torch.float32, device=device)


def _mark_non_finite(values: list[Tensor], flag: Tensor) -> Tensor:
    """Set `flag` to 1 if a tensor is not finite; return the flag."""
    one = _ONE if flag.device == _ONE.device else torch.ones_like(flag)
    has_kernel = flag.device.type in ("cpu", "cuda")
    dtypes = {value.dtype for value in values}
    if has_kernel and len(dtypes) == 1 and values[0].is_floating_point():
        mark_non_finite(values, flag, scale=one)
        return flag
    finite = torch.stack([value.isfinite().all() for value in values]).all()
    return flag.logical_or_(~finite)


_ONE = torch.ones((), dtype=torch.float32)


@contextmanager
def located(epoch: int, optimizers: list[Optimizer]):
    """Tell a DivergenceError of the block its epoch and batch; look for one on a GPU.

    Yields an object whose attribute `batch` the block must keep at the number of the
    batch. The optimizers are in the order of their steps.
    """
    position = SimpleNamespace(batch=None)
    before = [_n_steps_done(optimizer) for optimizer in optimizers]
    try:
        yield position
        _raise_if_stopped(position, optimizers, before)
    except DivergenceError as error:
        error.epoch, error.batch = epoch, position.batch
        raise


def _raise_if_stopped(
    position: SimpleNamespace, optimizers: list[Any], before: list[int]
) -> None:
    """Raise DivergenceError if a flag on a GPU has stopped an optimizer."""
    stopped = [
        (_n_steps_done(optimizer) - n_before + 1, optimizer.player)
        for optimizer, n_before in zip(optimizers, before, strict=True)
        if hasattr(optimizer, "found_inf") and optimizer.found_inf.item()
    ]
    if stopped:
        position.batch, player = min(stopped, key=lambda pair: pair[0])
        for optimizer in optimizers:
            vars(optimizer).pop("found_inf", None)
        raise DivergenceError(player)


def _n_steps_done(optimizer: Optimizer) -> int:
    """Return how many steps Adam has made, without those that a flag has stopped."""
    states = iter(optimizer.state.values())
    return int(next(states, {"step": 0}).get("step", 0))


def check_weights(player: str, network: nn.Module) -> None:
    """Raise DivergenceError if a network's weights or statistics are not finite."""
    state = filter(torch.is_tensor, network.state_dict().values())
    finite = [tensor.isfinite().all() for tensor in state]
    if finite and not torch.stack(finite).all():
        raise DivergenceError(player)
