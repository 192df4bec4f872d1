# SPDX-License-Identifier: BSD-3-Clause
"""The protocol of a source of out-of-distribution samples."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn


class OODSource(ABC, BaseEstimator, nn.Module):
    """Where the samples x_ood of the confidence loss come from.

    The regimes of the paper are one step of the classifier with different sources. A
    source is a scikit-learn object, so its parameters can be cloned and searched. It is
    also a torch module, so its networks and tensors are moved and saved with the
    classifier. It owns its networks, if it has any, and their optimizers.

    To write one, store the constructor's parameters under their names after
    ``super().__init__()``, and define :meth:`sample`. :meth:`prepare` sees the training
    data before the first epoch, and :meth:`step` runs before each step of the
    classifier. A source with networks defines :meth:`make_networks`, so that files can
    hold it. Samples are in the units of the batches that the classifier sees: those of
    X, or [0, 1] where X is uint8. Keep what training changes in networks, in buffers,
    in :meth:`optimizers`, or in plain attributes whose names end in an underscore: a
    checkpoint holds these.

    Attributes
    ----------
    device : torch.device
        Where networks and samples must be. :meth:`prepare` sets it; loading and
        unpickling set it again, since there may be another device.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.sources import OODSource
    >>> class Gaussian(OODSource):
    ...     def prepare(self, x, x_ood, device):
    ...         self.shape, self.device = x.shape[1:], device
    ...     def sample(self, n):
    ...         return torch.randn(n, *self.shape, device=self.device)
    """

    # Whether `prepare` needs rows that the user gave as out-of-distribution.
    needs_ood_rows = False
    # Whether `sample` returns inputs of the classifier; otherwise features.
    makes_inputs = True
    # Whether `sample_features` returns features of the classifier.
    makes_features = False

    # Whether samples are the same at any time, so that `sample` may be called once for
    # several batches of rows. That is faster.
    draws_ahead = False

    # As in scikit-learn: the classifier checks these before it uses the source.
    _parameter_constraints: dict = {}

    def __init__(self) -> None:
        super().__init__()

    # Of scikit-learn; without the types, nn.Module would say that they are tensors.
    get_params: Callable[..., dict]
    _validate_params: Callable[[], None]

    # nn.Module has a __repr__ too; scikit-learn's shows the parameters.
    __repr__ = BaseEstimator.__repr__

    @abstractmethod
    def sample(self, n: int) -> Tensor:
        """Return `n` out-of-distribution samples.

        Parameters
        ----------
        n : int
            Number of samples.

        Returns
        -------
        Tensor of shape (n, ...), float32
            Without gradient. Best on the device that `prepare` was given; samples on
            another are moved there. A source in feature space returns features,
            (n, n_features).
        """

    def prepare(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Learn from the training data what is needed, before training.

        Called again when training continues with other data (`partial_fit`,
        `warm_start`): a source then keeps its networks.

        Parameters
        ----------
        x : Tensor of shape (n, ...), float32 or uint8
            The training samples, on the CPU.
        x_ood : Tensor of shape (m, ...) or None
            The user's out-of-distribution samples, if any. Where `needs_ood_rows`,
            None only if the source has seen some before.
        device : torch.device
            Where networks and samples must be.
        """
        self.device = device

    def make_networks(self, input_shape: tuple[int, ...], device: torch.device) -> None:
        """Build the source's own networks and their optimizers, untrained.

        Called when a file is loaded, which then sets their tensors; a source that has
        networks calls it in :meth:`prepare` too.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample.
        device : torch.device
            Where the networks must be.
        """

    def rebuild(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Make what `prepare` makes, for a checkpoint to be loaded into.

        The same as `prepare`, unless that takes long.

        Parameters
        ----------
        x : Tensor of shape (n, ...), float32 or uint8
            The training samples, on the CPU.
        x_ood : Tensor of shape (m, ...) or None
            The user's out-of-distribution samples, if any.
        device : torch.device
            Where networks and samples must be.
        """
        self.prepare(x, x_ood, device)

    def step(self, x: Tensor, net: Any) -> dict[str, Tensor]:
        """Move the source's own networks on one batch.

        Parameters
        ----------
        x : Tensor of shape (n, ...), float32
            A batch of training samples.
        net : JointNet
            ``net.module_`` is the classifier, which must not be changed.
            ``net.ood_loss(logits)`` is its loss on out-of-distribution samples, such as
            the KL term, ``net.beta`` the weight of that loss, and ``net.ood_target``
            the parameter of the classifier.

        Returns
        -------
        dict of str to Tensor of shape ()
            The losses to record in the history, without gradient.
        """
        return {}

    def end_epoch(self) -> dict[str, float]:
        """Return figures of the epoch that has ended.

        Returns
        -------
        dict of str to float
            To record in the history next to the losses.
        """
        return {}

    def forget_batch(self) -> None:
        """Drop what :meth:`step` kept of its last batch.

        Called at the end of every fit, also of one that failed in the middle of a step.
        """

    def n_inputs(self, n: int) -> int:
        """Return how many of `n` samples are inputs, made by `sample`.

        Parameters
        ----------
        n : int
            Number of out-of-distribution samples in a batch.

        Returns
        -------
        int
            All of them or none; a mixture may divide them.
        """
        return n if self.makes_inputs else 0

    def sample_features(self, features: Tensor, n: int) -> Tensor:
        """Return `n` samples in the feature space of the classifier.

        Parameters
        ----------
        features : Tensor of shape (b, n_features)
            Inputs of the last linear layer for the training batch, with their graph.
        n : int
            Number of samples.

        Returns
        -------
        Tensor of shape (n, n_features)
            Samples, with the graph of the features they are made from.

        Raises
        ------
        NotImplementedError
            If the source makes inputs only, as most do. Training calls this method only
            where `makes_features` is true, so other sources need not define it.
        """
        # Not an abstract method: most sources could then not be made without it.
        raise NotImplementedError(f"{self!r} does not make features.")

    def optimizers(self) -> list:
        """Return the optimizers of the source's own networks.

        Returns
        -------
        list of torch.optim.Optimizer
            In the order of their steps. Their learning rates follow the classifier's
            schedule.
        """
        return []

    def parts(self) -> dict:
        """Return the source itself and the sources inside it.

        Returns
        -------
        dict of str to OODSource
            By their names as submodules; the source itself is ``""``.
        """
        modules = self.named_modules()
        return {name: part for name, part in modules if isinstance(part, OODSource)}
