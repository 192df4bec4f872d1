# SPDX-License-Identifier: BSD-3-Clause
"""Several sources at once, each with its share of the samples."""

import math
from itertools import pairwise
from numbers import Real

import torch
from sklearn.base import clone
from torch import Tensor, nn

from confident_clf.sources._base import OODSource


class MixtureOOD(OODSource):
    """Out-of-distribution samples from several sources.

    Parameters
    ----------
    sources : sequence of OODSource
        The sources; each is cloned.
    shares : sequence of float or None, default=None
        The share of each in the samples, positive; scaled to sum to 1. None: equal.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import JointGAN, MixtureOOD, NoiseOOD
    >>> source = MixtureOOD([JointGAN(), NoiseOOD()], shares=[3, 1])
    >>> clf = ConfidentClassifier(ood_source=source)
    """

    _parameter_constraints: dict = {
        "sources": ["array-like"],
        "shares": ["array-like", None],
    }

    def __init__(self, sources, *, shares=None):
        super().__init__()
        self.sources = sources
        self.shares = shares

    @property
    def needs_ood_rows(self):
        """Whether one of the sources needs the user's rows."""
        return any(source.needs_ood_rows for source in self.sources)

    @property
    def makes_inputs(self):
        """Whether one of the sources makes inputs."""
        return any(source.makes_inputs for source in self.sources)

    @property
    def makes_features(self):
        """Whether one of the sources makes features."""
        return any(source.makes_features for source in self.sources)

    def prepare(self, x: Tensor, x_ood: Tensor | None, device) -> None:
        """Clone the sources, those within mixtures too, once, and prepare each."""
        self._clone_leaves()
        for source in self.sources_:
            source.prepare(x, x_ood if source.needs_ood_rows else None, device)

    def rebuild(self, x: Tensor, x_ood: Tensor | None, device) -> None:
        """Clone the sources and let each rebuild itself."""
        self._clone_leaves()
        for source in self.sources_:
            source.rebuild(x, x_ood if source.needs_ood_rows else None, device)

    def _clone_leaves(self):
        """Set the sources, once, and their shares."""
        sources, self.shares_ = zip(*self._leaves(), strict=True)
        if not hasattr(self, "sources_"):
            self.sources_ = nn.ModuleList(clone(source) for source in sources)

    def make_networks(self, input_shape, device) -> None:
        """Clone the sources, and let each make its networks."""
        self._clone_leaves()
        for source in self.sources_:
            source.make_networks(input_shape, device)

    def _validate_params(self):
        """Check the parameters, and those of every source."""
        super()._validate_params()
        for source in self.sources:
            if not isinstance(source, OODSource):
                raise TypeError(f"sources must hold OODSources; got {source!r}.")
            source._validate_params()
        self._leaves()

    def _leaves(self):
        """Return the pairs of source and share; the shares sum to 1."""
        shares = [1] * len(self.sources) if self.shares is None else list(self.shares)
        if (
            not self.sources
            or len(shares) != len(self.sources)
            or not all(isinstance(s, Real) and 0 < s < math.inf for s in shares)
        ):
            raise ValueError(
                f"shares={self.shares!r} must be positive numbers, one for each of the "
                f"{len(self.sources)} sources, and there must be a source."
            )
        leaves = []
        for source, share in zip(self.sources, shares, strict=True):
            leaves += [
                (leaf, part * share / sum(shares)) for leaf, part in source._leaves()
            ]
        return leaves

    def step(self, x: Tensor, net) -> dict[str, Tensor]:
        """Let each source move; a loss that several have is named by its number."""
        return _numbered(source.step(x, net) for source in self.sources_)

    def shared_inputs(self) -> list[Tensor]:
        """Return the shared samples of all sources."""
        return [x for source in self.sources_ for x in source.shared_inputs()]

    def finish_step(self, net) -> dict[str, Tensor]:
        """Let each source finish its step."""
        return _numbered(source.finish_step(net) for source in self.sources_)

    def end_epoch(self) -> dict[str, float]:
        """Return the figures of all sources."""
        return _numbered(source.end_epoch() for source in self.sources_)

    def optimizers(self) -> list:
        """Return the optimizers of all sources."""
        return [opt for source in self.sources_ for opt in source.optimizers()]

    def n_inputs(self, n: int) -> int:
        """Return how many of `n` samples are inputs."""
        if not self.makes_features:
            return n
        return sum(size for source, size in self._sizes(n) if source.makes_inputs)

    def sample(self, n: int) -> Tensor:
        """Return `n` inputs, of each of their sources its share.

        Where no source makes inputs, features.
        """
        kind = "makes_inputs" if self.makes_inputs else "makes_features"
        return torch.cat([source.sample(size) for source, size in self._sizes(n, kind)])

    def sample_features(self, features: Tensor, n: int) -> Tensor:
        """Return `n` features, of each of their sources its share."""
        sizes = self._sizes(n, "makes_features")
        return torch.cat([source.sample_features(features, k) for source, k in sizes])

    def _sizes(self, n, kind=None):
        """Return the sources, of one kind or of all, that take part in `n` samples.

        Each comes with its number of samples, at least 1.
        """
        pairs = zip(self.sources_, self.shares_, strict=True)
        pairs = [pair for pair in pairs if kind is None or getattr(pair[0], kind)]
        shares = torch.tensor([share for _, share in pairs], dtype=torch.float64)
        ends = (shares.cumsum(0) / shares.sum())[:-1]
        # One random shift rounds all shares: over many batches they come out exact.
        ends = [0, *(n * ends + torch.rand(())).int().tolist(), n]
        sizes = [
            (source, end - start)
            for (source, _), (start, end) in zip(pairs, pairwise(ends), strict=True)
        ]
        return [(source, size) for source, size in sizes if size]


def _numbered(losses_of_sources):
    """Return all losses in one dict; a second of a name gets its source's number."""
    all_losses = {}
    for i, losses in enumerate(losses_of_sources):
        for name, loss in losses.items():
            all_losses[f"{name}_{i}" if name in all_losses else name] = loss
    return all_losses
