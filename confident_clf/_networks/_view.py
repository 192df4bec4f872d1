# SPDX-License-Identifier: BSD-3-Clause
"""The view of a network that scores get: NumPy in, NumPy out."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

from confident_clf._networks._head import (
    outputs_and_features,
    penultimate,
    weight_and_bias,
)
from confident_clf._networks._inference import SIZES_OF_ROWS, map_padded
from confident_clf.utils._tensors import as_float, as_tensor

# How many numbers to hold at once where a score needs floats of the size of X.
PART = 2**20


class NetworkView:
    """The network of a net in evaluation mode, with the same results in any batch.

    Outputs beyond the first `n_classes` mean rejection. With `fast`, batches are not
    padded, so results may be rounded differently in another batch.
    """

    def __init__(self, net, n_classes: int, fast: bool = False):
        self.net = net
        self.n_classes = n_classes
        self.fast = fast

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the outputs, (n, n_outputs) float64."""
        return self.net.logits(X, pad=not self.fast).astype(np.float64)

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the inputs of the last linear layer, (n, d) float64."""
        with torch.inference_mode():
            features = self._map(
                lambda x: penultimate(self._module, as_float(x)),
                X,
                any_size=True,
            )
        return features.astype(np.float64)

    def outputs_and_features(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the outputs and the features, float64, by one pass."""

        def side_by_side(x):
            both = outputs_and_features(self._module, as_float(x))
            return torch.cat([part.float() for part in both], dim=1)

        with torch.inference_mode():
            both = self._map(
                side_by_side,
                X,
                any_size=True,
            )
        both = both.astype(np.float64)
        n_outputs = self.net.module.n_outputs
        return both[:, :n_outputs], both[:, n_outputs:]

    def head(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weight and bias, float64, of the layer that makes the outputs.

        A pass over `X`, a few samples, finds the layer.
        """
        with self.net.inference(), torch.inference_mode():
            x = as_float(as_tensor(X).to(self.net.device))
            weight, bias = weight_and_bias(self._module, x)
        if bias is None:
            bias = torch.zeros(len(weight))
        weight, bias = weight.cpu(), bias.cpu()
        return weight.numpy().astype(np.float64), bias.numpy().astype(np.float64)

    def gradient(self, X: np.ndarray, weights: Callable) -> np.ndarray:
        """Return the gradient of the sum of each sample's outputs times its weights.

        `X` holds floats (n, *input_shape). ``weights(outputs)`` maps float64 outputs to
        weights of the same shape. It is called once for each batch.
        """

        @torch.enable_grad()
        def of_batch(x):
            x.requires_grad_()
            outputs = self._module(x.clone())  # its first layer may work in place
            given = weights(outputs.detach().cpu().numpy().astype(np.float64))
            given = torch.from_numpy(given).to(outputs)
            return torch.autograd.grad(outputs, x, given)[0]

        # Batches of small networks should be large, or the time goes between layers.
        is_small_rows = X.ndim == 2 and self.net.single_thread
        sizes = (SIZES_OF_ROWS[-1],) if is_small_rows else None
        return self._map(of_batch, X, sizes=sizes, workers=self.net.workers())

    def batches(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Yield parts of X as the network sees them, float32, small enough to hold."""
        size = max(1, PART // math.prod(X.shape[1:]))
        for start in range(0, len(X), size):
            yield as_float(as_tensor(X[start : start + size])).numpy()

    @property
    def _module(self):
        """The network."""
        return self.net.module_

    def _map(
        self, function: Callable, X: np.ndarray, *, any_size: bool = False, **options
    ) -> np.ndarray:
        """Return the outputs of a function of padded batches, in evaluation mode.

        With `any_size`, of all batch sizes that round alike.
        """
        options["pad"] = not self.fast
        with self.net.inference():
            if any_size and not self.fast:
                options["sizes"] = self.net.inference_sizes(X.shape)
            return map_padded(function, X, device=self.net.device, **options)
