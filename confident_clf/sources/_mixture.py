# SPDX-License-Identifier: BSD-3-Clause
"""Several sources at once, each with its share of the samples."""

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor, nn

from confident_clf.sources._source import OODSource


class MixtureOOD(OODSource):
    """Out-of-distribution samples from several sources.

    A batch of n samples takes ``n * share_i / sum(shares)`` from source i, rounded at
    random so that the shares are exact over many batches.

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

    sources_: Any

    def __init__(self, sources: Sequence, *, shares: Sequence[float] | None = None):
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

    def parts(self) -> dict:
        """Return the mixture and its sources, also before they are cloned."""
        if hasattr(self, "sources_"):
            return super().parts()
        sources = [source for source, _ in self._flat()]
        return {"": self, **{f"sources_.{i}": s for i, s in enumerate(sources)}}

    def prepare(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Clone the sources, also those inside mixtures, once, and prepare each."""
        super().prepare(x, x_ood, device)
        self._clone_sources()
        for source in self.sources_:
            source.prepare(x, x_ood if source.needs_ood_rows else None, device)

    def rebuild(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Clone the sources and let each rebuild itself."""
        super().prepare(x, x_ood, device)
        self._clone_sources()
        for source in self.sources_:
            source.rebuild(x, x_ood if source.needs_ood_rows else None, device)

    def make_networks(self, input_shape: tuple[int, ...], device: torch.device) -> None:
        """Clone the sources, and let each build its networks."""
        self._clone_sources()
        for source in self.sources_:
            source.make_networks(input_shape, device)

    def _clone_sources(self) -> None:
        """Set the sources, once, and their shares."""
        sources, self.shares_ = zip(*self._flat(), strict=True)
        if not hasattr(self, "sources_"):
            self.sources_ = nn.ModuleList(clone(source) for source in sources)

    def _validate_params(self):
        """Check the parameters, and those of every source."""
        super()._validate_params()
        for source in self.sources:
            if not isinstance(source, OODSource):
                raise TypeError(f"sources must hold OODSources; got {source!r}.")
            source._validate_params()
        self._flat()

    def _flat(self) -> list[tuple[OODSource, float]]:
        """Return pairs of source and share, mixtures flattened; shares sum to 1."""
        shares = [1] * len(self.sources) if self.shares is None else list(self.shares)
        if (
            not self.sources
            or len(shares) != len(self.sources)
            or not all(isinstance(s, Real) and 0 < float(s) < math.inf for s in shares)
        ):
            raise ValueError(
                f"shares={self.shares!r} must be positive numbers, one for each of the "
                f"{len(self.sources)} sources, and there must be a source."
            )
        pairs = []
        for source, share in zip(self.sources, shares, strict=True):
            inner = source._flat() if isinstance(source, MixtureOOD) else [(source, 1)]
            pairs += [(leaf, part * share / sum(shares)) for leaf, part in inner]
        return pairs

    def step(self, x: Tensor, net: Any) -> dict[str, Tensor]:
        """Let each source move; number a loss that several sources record."""
        return _numbered(source.step(x, net) for source in self.sources_)

    def end_epoch(self) -> dict[str, float]:
        """Return the figures of all sources."""
        return _numbered(source.end_epoch() for source in self.sources_)

    def forget_batch(self) -> None:
        """Let every source forget its last batch."""
        for source in self.sources_:
            source.forget_batch()

    def optimizers(self) -> list:
        """Return the optimizers of all sources."""
        return [opt for source in self.sources_ for opt in source.optimizers()]

    def n_inputs(self, n: int) -> int:
        """Return how many of `n` samples are inputs."""
        if not self.makes_features:
            return n
        return sum(size for source, size in self._sizes(n) if source.makes_inputs)

    def sample(self, n: int) -> Tensor:
        """Return `n` inputs, from each source that makes inputs its share.

        Features, if no source makes inputs.
        """
        kind = "makes_inputs" if self.makes_inputs else "makes_features"
        sizes = self._sizes(n, kind)
        return torch.cat([source.sample(k).to(self.device) for source, k in sizes])

    def sample_features(self, features: Tensor, n: int) -> Tensor:
        """Return `n` features, from each source that makes features its share."""
        sizes = self._sizes(n, "makes_features")
        return torch.cat([source.sample_features(features, k) for source, k in sizes])

    def _sizes(self, n, kind=None):
        """Return the sources that take part in `n` samples, with their numbers of them.

        `kind` is "makes_inputs", "makes_features" or None: all sources.
        """
        pairs = zip(self.sources_, self.shares_, strict=True)
        pairs = [pair for pair in pairs if kind is None or getattr(pair[0], kind)]
        shares = torch.tensor([share for _, share in pairs], dtype=torch.float64)
        ends = (shares.cumsum(0) / shares.sum())[:-1]
        # One random shift rounds all shares: over many batches they are exact.
        ends = [0, *(n * ends + torch.rand(())).int().tolist(), n]
        sizes = [
            (source, end - start)
            for (source, _), (start, end) in zip(pairs, pairwise(ends), strict=True)
        ]
        return [(source, size) for source, size in sizes if size]


def _numbered(losses_of_sources) -> dict:
    """Return all losses in one dict; a name that occurs again gets a number."""
    all_losses = {}
    for i, losses in enumerate(losses_of_sources):
        for name, loss in losses.items():
            all_losses[f"{name}_{i}" if name in all_losses else name] = loss
    return all_losses
