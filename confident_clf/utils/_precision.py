# SPDX-License-Identifier: BSD-3-Clause
"""When to compute in bfloat16, and how to lay out images."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

# Below about so many floating-point operations for a sample, casting takes as long as
# bfloat16 saves (benchmarks/speed.py).
MIN_FLOP = 1e7


def use_bfloat16(precision, device, flop_per_sample):
    """Return whether to train a network in bfloat16.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto": where the hardware multiplies bfloat16, and the network is large.
    device : torch.device
        Where to train.
    flop_per_sample : float
        Floating-point operations of a pass of one sample.

    Returns
    -------
    bool
        True for bfloat16.
    """
    if precision != "auto":
        return precision == "bfloat16"
    return multiplies_bfloat16(device) and flop_per_sample >= MIN_FLOP


def multiplies_bfloat16(device):
    """Return whether a device has instructions that multiply bfloat16.

    Parameters
    ----------
    device : torch.device
        The device.

    Returns
    -------
    bool
        True for GPUs of compute capability 8.0 and more, and for processors with AMX
        or AVX-512 BF16, as far as this version of torch can tell.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return bool(has.get("amx_bf16") or has.get("avx512_bf16"))
    return False


def flop(network, x):
    """Return the floating-point operations of one pass.

    torch's own counter takes two seconds to import.

    Parameters
    ----------
    network : nn.Module
        In training mode before and after.
    x : Tensor of shape (n, *input_shape)
        Samples on the device of the network.

    Returns
    -------
    int
        Two for each multiplication in a linear layer or a convolution.
    """
    counts = []

    def count(layer, inputs, output):
        counts.append(2 * output.numel() * layer.weight[0].numel())

    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, _ConvNd))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    network.eval()
    try:
        with torch.no_grad():
            network(x)
    finally:
        network.train()
        for handle in handles:
            handle.remove()
    return sum(counts)


def prefer_channels_last(network, x):
    """Lay filters out with the channels last, the faster way, where a network can.

    Parameters
    ----------
    network : nn.Module
        In training mode before and after. One whose layers ``view`` images in the
        usual layout keeps it.
    x : Tensor
        A few samples of its input.
    """
    network.to(memory_format=torch.channels_last)
    network.eval()
    try:
        with torch.no_grad():
            network(x)
    except RuntimeError:
        network.to(memory_format=torch.contiguous_format)
    finally:
        network.train()


def in_full(x):
    """Return what a network computed in bfloat16 as float32.

    Parameters
    ----------
    x : Tensor
        Outputs of a network.

    Returns
    -------
    Tensor
        As it is, unless its dtype is bfloat16.
    """
    return x.float() if x.dtype == torch.bfloat16 else x
