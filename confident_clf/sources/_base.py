# SPDX-License-Identifier: BSD-3-Clause
"""What a source of out-of-distribution samples is."""

from abc import ABC, abstractmethod

from sklearn.base import BaseEstimator
from torch import Tensor, nn


class OODSource(ABC, BaseEstimator, nn.Module):
    """Where the samples x_ood of the confidence loss come from.

    The regimes of the paper are one step of the classifier with different sources. A
    source is a scikit-learn object, so its parameters can be cloned and searched, and a
    torch module, so its networks and tensors move and are saved with the classifier.
    It owns its networks, if it has any, and their optimizers.

    To write one, store the constructor's parameters under their names after
    ``super().__init__()``, and define :meth:`sample`; :meth:`prepare` sees the training
    data before the first epoch, and :meth:`step` runs before each step of the
    classifier. One with networks defines :meth:`make_networks`, so that files can hold
    it. Samples are in the units of the batches that the classifier sees: those of X, or
    [0, 1] where X is uint8. What training changes belongs in networks, in buffers, in
    `optimizers`, or in plain attributes whose names end in an underscore: a checkpoint
    keeps these.

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

    # Whether `prepare` needs rows that the user calls out-of-distribution.
    needs_ood_rows = False
    # Whether `sample` makes inputs of the classifier; else features.
    makes_inputs = True
    # Whether `sample_features` makes features of the classifier.
    makes_features = False

    # As in scikit-learn: what the classifier checks before it uses the source.
    _parameter_constraints: dict = {}

    def __init__(self):
        super().__init__()

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
            On the device that `prepare` was given, without gradient. A source in
            feature space returns features, (n, n_features).
        """

    def prepare(self, x: Tensor, x_ood: Tensor | None, device) -> None:
        """Learn from the training data what is needed, before training.

        Called again when training goes on with other data (`partial_fit`,
        `warm_start`): then a source keeps its networks.

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

    def make_networks(self, input_shape, device) -> None:
        """Make the source's own networks and their optimizers, untrained.

        Called when a file is loaded, whose tensors the networks then get; a source that
        has networks calls it in :meth:`prepare` too.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample.
        device : torch.device
            Where the networks must be.
        """

    def rebuild(self, x: Tensor, x_ood: Tensor | None, device) -> None:
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

    def step(self, x: Tensor, net) -> dict[str, Tensor]:
        """Move the source's own networks on one batch.

        Parameters
        ----------
        x : Tensor of shape (n, ...), float32
            A batch of training samples.
        net : JointNet
            ``net.module_`` is the classifier, which must not be changed,
            ``net.ood_loss(logits)`` its loss on out-of-distribution samples, such as
            the KL term, and ``net.beta`` the weight of that.

        Returns
        -------
        dict of str to Tensor of shape ()
            The losses to record in the history, without gradient.
        """
        return {}

    def shared_inputs(self) -> list[Tensor]:
        """Return the samples whose gradient `finish_step` needs.

        Returns
        -------
        list of Tensor
            Leaves that the last `sample` returned; the classifier's step leaves the
            gradient of its loss in their ``grad``.
        """
        return []

    def finish_step(self, net) -> dict[str, Tensor]:
        """Move networks that wait for the classifier's step.

        Parameters
        ----------
        net : JointNet
            As in :meth:`step`.

        Returns
        -------
        dict of str to Tensor of shape ()
            The losses to record in the history, without gradient.
        """
        return {}

    def end_epoch(self) -> dict[str, float]:
        """Return figures of the epoch that has ended, and forget its last batch.

        Returns
        -------
        dict of str to float
            What to record in the history beside the losses.
        """
        return {}

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
            What goes into the last linear layer for the training batch, with its graph.
        n : int
            Number of samples.

        Returns
        -------
        Tensor of shape (n, n_features)
            Samples, with the graph of the features they are made from.

        Raises
        ------
        NotImplementedError
            For a source that makes inputs only, as most do. Training asks those alone
            whose `makes_features` is true, so they need not define it.
        """
        # No abstract method: most sources could then not be made without defining it.
        raise NotImplementedError(f"{self!r} makes no features.")

    def optimizers(self) -> list:
        """Return the optimizers of the source's own networks.

        Returns
        -------
        list of torch.optim.Optimizer
            Their learning rates follow the classifier's schedule.
        """
        return []

    def _leaves(self):
        """Return the pairs of source and share that a mixture divides into."""
        return [(self, 1)]
