# SPDX-License-Identifier: BSD-3-Clause
"""One step of gradient descent for one player."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from confident_clf._training._divergence import refuse_non_finite
from confident_clf._training._ranks import ranks_together
from confident_clf.utils._torch import adam_kernel, adamw_kernel, add_to_each


def descend(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    player: str,
    *,
    before_step: Callable | None = None,
) -> None:
    """Move the parameters of `optimizer` one step down `loss`, and nothing else.

    Frozen parameters stay as they are. In joint training a loss runs through networks
    of other players: to name the inputs of the backward pass leaves their gradients
    alone, and saves the time to compute them. Where several processes train together,
    the gradients are averaged. `before_step` is called when the gradients are there; it
    may change them. Raises DivergenceError, and moves nothing,
    if a gradient is not finite.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = None  # also of those that a callback has just frozen
    parameters = [p for p in parameters if p.requires_grad]
    if not parameters:
        return
    if torch.is_autocast_enabled(loss.device.type):
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward(inputs=parameters)
        # The bfloat16 copies of the weights are out of date after the step.
        torch.clear_autocast_cache()
    else:
        loss.backward(inputs=parameters)
    ranks_together().average(parameters)
    if before_step is not None:
        before_step()
    refuse_non_finite(player, loss, parameters, optimizer)
    optimizer.step()


def can_fuse(parameters: Iterable[Tensor]) -> bool:
    """Return whether torch can update all parameters in one kernel."""
    return all(
        p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters
    )


def adam(parameters: list[Tensor], **options) -> torch.optim.Adam:
    """Return an Adam optimizer with torch's options, fused where possible."""
    return _Adam(parameters, fused=can_fuse(parameters), **options)


def adamw(groups: list[dict], **options) -> torch.optim.AdamW:
    """Return an AdamW optimizer with torch's options, fused where possible."""
    parameters = [p for group in groups for p in group["params"]]
    return _AdamW(groups, fused=can_fuse(parameters), **options)


class _ShortStep:
    """Call torch's fused kernel without the work torch does around it at every step.

    For a small network on the CPU that work takes longer than the kernel.
    """

    state: Any

    def step(self, closure=None):
        """Make a step, equal to torch's to the bit."""
        calls = [self._arguments(group) for group in self.param_groups]
        # torch makes the first step, which creates the state, and all special cases.
        if closure is not None or None in calls or hasattr(self, "found_inf"):
            return super().step(closure)
        with torch.no_grad():
            for steps, tensors, options in calls:
                add_to_each(steps, 1)
                self._kernel(*tensors, [], steps, **options)
        return None

    # torch would wrap the method to report to its profiler, which takes as long as the
    # rest of the step.
    step.__dict__["hooked"] = True

    def _arguments(self, group: dict):
        """Return the kernel's arguments for a group, or None if torch must step."""
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

    _kernel = staticmethod(adam_kernel)


class _AdamW(_ShortStep, torch.optim.AdamW):
    """AdamW with a short step."""

    _kernel = staticmethod(adamw_kernel)
