# SPDX-License-Identifier: BSD-3-Clause
"""A network with other inputs or outputs than a classifier needs, wrapped."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class WrappedNetwork(nn.Module):
    """A network that takes other inputs, or returns more than its logits.

    :class:`~confident_clf.ConfidentClassifier` needs a network that maps samples to
    logits. This makes one of a network that you have, such as of Hugging Face, whose
    output is an object. Pass it as `module` to train it further. For a network that is
    trained already, :meth:`~confident_clf.ConfidentClassifier.from_trained` makes it.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    output : str, int, callable or None, default=None
        Where its output has the logits: the key of a dict or the name of an attribute,
        the position in a tuple, or a function of the output. None means the output
        itself, or its "logits" if it is not a tensor.
    transform : callable or None, default=None
        What to do with a batch of samples first, such as
        ``torchvision.transforms.v2.Normalize(mean, std)``. It gets a float32 tensor on
        the device of the network; pixels of uint8 images are scaled to [0, 1] by then.
    head : str or None, default=None
        Name of the linear layer whose input gives the features, as in
        ``network.named_modules()``. None means the last one that is called.
    order : list of int or None, default=None
        Which outputs to return, in order. None means all, as they are.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import WrappedNetwork
    >>> class Dictionary(torch.nn.Linear):
    ...     def forward(self, x):
    ...         return {"logits": super().forward(x), "loss": None}
    >>> WrappedNetwork(Dictionary(3, 2))(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        output: str | int | Callable | None = None,
        transform: Callable | None = None,
        head: str | None = None,
        order: Any = None,
    ):
        super().__init__()
        self.network = network
        self.output = output
        self.transform = transform
        self.head = head
        self.order = order

    def in_own_order(self, x: Tensor) -> Tensor:
        """Return the logits in the order of the network.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Samples.

        Returns
        -------
        Tensor of shape (n, n_outputs)
            Logits.
        """
        if self.transform is not None:
            x = self.transform(x)
        return pick(self.network(x), self.output)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Samples.

        Returns
        -------
        Tensor of shape (n, n_classes)
            Logits.
        """
        logits = self.in_own_order(x)
        return logits if self.order is None else logits[:, self.order]


def pick(result, output) -> Tensor:
    """Return the logits in the result of a network.

    Raises TypeError or ValueError if they are not there.
    """
    if callable(output):
        return output(result)
    if output is None and isinstance(result, Tensor):
        return result
    name = "logits" if output is None else output
    try:
        if isinstance(name, int):
            return result[name]
        return result[name] if isinstance(result, dict) else getattr(result, name)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the network returned {_described(result)}, in which output={output!r} "
            "does not find the logits. Say where they are: output='name', "
            "output=position, or a function of what it returned"
        ) from error


def _described(result) -> str:
    """Return the type of a result, and what it holds."""
    kind = type(result).__name__
    if isinstance(result, dict):
        return f"{kind} with the keys {list(map(str, result))}"
    if isinstance(result, (tuple, list)):
        return f"{kind} of {len(result)}"
    names = [name for name in getattr(result, "__dict__", ()) if name[:1] != "_"]
    return f"{kind} with the attributes {names}" if names else kind
