# SPDX-License-Identifier: BSD-3-Clause
"""One step of gradient descent for one player."""

import torch

from confident_clf.utils._divergence import refuse_non_finite


def descend(loss, optimizer, player, *, also=(), before_step=None):
    """Move the parameters of `optimizer` one step down `loss`, and nothing else.

    Those that are frozen, by ``requires_grad_(False)``, stay as they are. In joint
    training a loss runs through networks of other players. Naming the inputs leaves
    their gradients alone, and saves the time to compute them.

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
    before_step : callable or None, default=None
        Called once the gradients are there, which it may change.

    Raises
    ------
    DivergenceError
        If the loss or a gradient is not finite; nothing is moved then.
    """
    parameters = [
        p
        for group in optimizer.param_groups
        for p in group["params"]
        if p.requires_grad
    ]
    for parameter in parameters:
        parameter.grad = None
    if torch.is_autocast_enabled(loss.device.type):
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward(inputs=[*parameters, *also])
        # The bfloat16 copies of the weights are out of date after the step.
        torch.clear_autocast_cache()
    else:
        loss.backward(inputs=[*parameters, *also])
    if before_step is not None:
        before_step()
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


def adam(parameters, **options):
    """Return an Adam optimizer, fused where that can be.

    Parameters
    ----------
    parameters : list of nn.Parameter
        What to move.
    **options
        Of :class:`torch.optim.Adam`.

    Returns
    -------
    torch.optim.Adam
        The optimizer.
    """
    return _Adam(parameters, fused=can_fuse(parameters), **options)


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
    return _AdamW(groups, fused=can_fuse(parameters), **options)


class _ShortStep:
    """Call torch's fused kernel, without what torch does around it at every step.

    For a small network on the CPU that takes longer than the kernel.
    """

    def step(self, closure=None):
        """Make a step: to the bit what torch makes."""
        calls = [self._arguments(group) for group in self.param_groups]
        # The first step, which makes the state, and all special cases are torch's.
        if closure is not None or None in calls or hasattr(self, "found_inf"):
            return super().step(closure)
        with torch.no_grad():
            for steps, tensors, options in calls:
                torch._foreach_add_(steps, 1)
                self._kernel(*tensors, [], steps, **options)
        return None

    # torch would wrap it to tell its profiler of it, which takes as long as the rest.
    step.hooked = True

    def _arguments(self, group):
        """Return what the kernel takes for a group; None where that is not all."""
        parameters = [p for p in group["params"] if p.grad is not None]
        states = [self.state[p] for p in parameters]
        is_plain = (
            group["fused"]
            and all(states)
            and len({p.dtype for p in parameters}) == 1
            and parameters[0].device.type == "cpu"
            and not (group["amsgrad"] or group["maximize"])
        )
        if not is_plain:
            return None
        tensors = (
            parameters,
            [p.grad for p in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
        )
        beta1, beta2 = group["betas"]
        options = {
            "lr": group["lr"],
            "beta1": beta1,
            "beta2": beta2,
            "weight_decay": group["weight_decay"],
            "eps": group["eps"],
            "amsgrad": False,
            "maximize": False,
        }
        return [state["step"] for state in states], tensors, options


class _Adam(_ShortStep, torch.optim.Adam):
    """Adam with a short step."""

    _kernel = staticmethod(torch._fused_adam_)


class _AdamW(_ShortStep, torch.optim.AdamW):
    """AdamW with a short step."""

    _kernel = staticmethod(torch._fused_adamw_)
