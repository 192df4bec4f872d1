# SPDX-License-Identifier: BSD-3-Clause
"""What scores see of a network."""

import math

import numpy as np
import torch

from confident_clf.modules._head import last_linear, penultimate
from confident_clf.utils._inference import SIZES_OF_ROWS, map_padded
from confident_clf.utils._tensors import as_float, as_tensor

# How many numbers to hold at once where a score needs floats of the size of X.
PART = 2**20


class NetworkView:
    """The network in evaluation mode, NumPy in and out, whatever the batch.

    Parameters
    ----------
    net : JointNet
        The network, initialised.
    n_classes : int
        Number of classes; an output beyond them stands for rejection.
    """

    def __init__(self, net, n_classes):
        self.net = net
        self.n_classes = n_classes

    def __call__(self, X):
        """Return the outputs, ndarray (n, n_outputs), float64."""
        return self.net.logits(X).astype(np.float64)

    def features(self, X):
        """Return what goes into the last linear layer, ndarray (n, d), float64."""
        with torch.inference_mode():
            features = self._map(lambda x: penultimate(self._module, as_float(x)), X)
        return features.astype(np.float64)

    def head(self, X):
        """Return weight and bias of the layer that makes the outputs, float64.

        `X` is a few samples to find it by.
        """
        self.net._set_training(False)
        with torch.inference_mode():
            x = as_float(as_tensor(X).to(self.net.device))
            layer = last_linear(self._module, x)
        weight = layer.weight.detach().cpu().numpy().astype(np.float64)
        if layer.bias is None:
            return weight, np.zeros(len(weight))
        return weight, layer.bias.detach().cpu().numpy().astype(np.float64)

    def gradient(self, X, weights):
        """Return the gradient of the sum of each sample's outputs times its weights.

        `X` holds floats (n, *input_shape). ``weights(outputs)`` maps outputs, float64,
        to weights of the same shape; it is called for some samples at a time.
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

    def batches(self, X):
        """Yield parts of X as the network sees them, float32, not large in memory."""
        size = max(1, PART // math.prod(X.shape[1:]))
        for start in range(0, len(X), size):
            yield as_float(as_tensor(X[start : start + size])).numpy()

    @property
    def _module(self):
        """The network."""
        return self.net.module_

    def _map(self, function, X, **options):
        """Return what a function of padded batches says, in evaluation mode."""
        self.net._set_training(False)
        with self.net.threads():
            return map_padded(function, X, device=self.net.device, **options)
