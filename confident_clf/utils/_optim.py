# SPDX-License-Identifier: BSD-3-Clause
"""One step of gradient descent for one player."""

from contextlib import contextmanager


def descend(loss, optimizer):
    """Move the parameters of `optimizer` one step down `loss`, and nothing else.

    In joint training a loss runs through networks of other players. Naming the inputs
    leaves their gradients alone, and saves the time to compute them.

    Parameters
    ----------
    loss : Tensor of shape ()
        The loss, with its graph.
    optimizer : torch.optim.Optimizer
        The owner of the parameters to move.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    optimizer.step()


@contextmanager
def evaluating(network):
    """Switch dropout and the updates of BatchNorm off for a while.

    Parameters
    ----------
    network : nn.Module
        In training mode before and after.

    Yields
    ------
    nn.Module
        The same network in evaluation mode.
    """
    network.eval()
    try:
        yield network
    finally:
        network.train()
