# SPDX-License-Identifier: BSD-3-Clause
"""When to compute in bfloat16, and how."""

import torch

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
