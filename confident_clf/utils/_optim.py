# SPDX-License-Identifier: BSD-3-Clause
"""One step of gradient descent for one player."""

import torch

from confident_clf.utils._divergence import refuse_non_finite


def descend(loss, optimizer, player, *, also=()):
    """Move the parameters of `optimizer` one step down `loss`, and nothing else.

    In joint training a loss runs through networks of other players. Naming the inputs
    leaves their gradients alone, and saves the time to compute them.

    Parameters
    ----------
    loss : Tensor of shape ()
        The loss, with its graph.
    optimizer : torch.optim.Optimizer
        The owner of the parameters to move.
    player : str
        Its name, for errors.
    also : sequence of Tensor
        Leaves that shall get their gradient too, without being moved.

    Raises
    ------
    DivergenceError
        If the loss or a gradient is not finite; nothing is moved then.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = None
    if torch.is_autocast_enabled(loss.device.type):
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward(inputs=[*parameters, *also])
        # The bfloat16 copies of the weights are out of date after the step.
        torch.clear_autocast_cache()
    else:
        loss.backward(inputs=[*parameters, *also])
    refuse_non_finite(player, loss, parameters, optimizer)
    optimizer.step()


def can_fuse(parameters):
    """Return whether torch can update all parameters in one kernel.

    Parameters
    ----------
    parameters : iterable of Tensor
        On their device.

    Returns
    -------
    bool
        True on the CPU and on CUDA, for real parameters.
    """
    return all(
        p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters
    )


def adamw(groups, **options):
    """Return an AdamW optimizer, fused where that can be.

    Parameters
    ----------
    groups : list of dict
        Parameter groups.
    **options
        Of :class:`torch.optim.AdamW`.

    Returns
    -------
    torch.optim.AdamW
        The optimizer.
    """
    parameters = [p for group in groups for p in group["params"]]
    return torch.optim.AdamW(groups, fused=can_fuse(parameters), **options)
