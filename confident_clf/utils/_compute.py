# SPDX-License-Identifier: BSD-3-Clause
"""Where and how a network computes: device, precision, number of threads."""

import warnings
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

# A network with fewer floating-point operations per sample gains nothing from bfloat16:
# the casts take as long as they save (benchmarks/speed.py).
MIN_FLOP_OF_BFLOAT16 = 1e7
# With fewer floating-point operations per batch, threads wait for each other longer
# than they work; on a busy machine, a hundred times longer.
MIN_FLOP_OF_THREADS = 2e8


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device, "auto" being the GPU where there is one.

    "cuda" becomes the GPU that is the current one now, with its number: another one may
    be the current one later, or in another thread. Raises ValueError if torch does not
    know the device, or it is not there.
    """
    asked = device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # This one test works for every kind of device and every index. It also refuses
        # "meta", which holds no numbers.
        tried = torch.zeros(1, device=torch.device(device))
        tried.item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={str(device)!r} cannot be used here: {_first_line(error)} "
            f"{_other_device(asked)}"
        ) from error
    return tried.device


def device_or_fallback(device: str | torch.device) -> torch.device:
    """Return the device if it is there; otherwise warn, and return one that is."""
    device = torch.device(device)
    if device.type == "cpu":
        return device
    # Not is_available, which torch.mps did not have before 2.6.
    n_devices = getattr(torch, device.type).device_count()
    if (device.index or 0) < n_devices:
        return device
    there = torch.device(device.type, 0) if n_devices else torch.device("cpu")
    warnings.warn(
        f"The classifier was trained on {device}, which is not there: it goes to "
        f"{there}.",
        UserWarning,
        stacklevel=2,
    )
    return there


def _other_device(asked: str | torch.device) -> str:
    """Return the advice for a device that cannot be used."""
    if asked == "auto":
        return "The GPU that torch found does not work: use device='cpu'."
    return (
        "Use device='auto', which takes the GPU where there is one and the CPU "
        "elsewhere."
    )


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, as a sentence."""
    return str(error).strip().split("\n")[0].rstrip(".") + "."


def use_bfloat16(precision: str, device: torch.device, flop_per_sample: float) -> bool:
    """Return whether to train in bfloat16.

    "auto" does so where the hardware multiplies bfloat16 and the network is large.
    """
    if precision != "auto":
        return precision == "bfloat16"
    return multiplies_bfloat16(device) and flop_per_sample >= MIN_FLOP_OF_BFLOAT16


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions that multiply bfloat16.

    GPUs have them from compute capability 8.0 on, processors with AMX or AVX-512 BF16,
    as far as this version of torch can tell.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return bool(has.get("amx_bf16") or has.get("avx512_bf16"))
    return False


def autocast(device: str | torch.device, bfloat16: bool):
    """Return a context in which networks compute in bfloat16, if that is asked for.

    Weights and losses stay float32.
    """
    if not bfloat16:
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def in_full(x: Tensor) -> Tensor:
    """Return the output of a network as float32 if it was computed in bfloat16."""
    return x.float() if x.dtype == torch.bfloat16 else x


def is_small(device: torch.device, flop_per_batch: float) -> bool:
    """Return whether a network on the CPU is too small for more than one thread."""
    return device.type == "cpu" and flop_per_batch < MIN_FLOP_OF_THREADS


@contextmanager
def one_thread(limit: bool):
    """Let torch use one thread in the block; `limit=False` changes nothing.

    Results then do not depend on the number of threads, here or in a worker process.
    The number belongs to the calling thread. But a thread that torch first sees in the
    meantime also starts, and stays, with one.
    """
    n_threads = torch.get_num_threads()
    if not limit or n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
