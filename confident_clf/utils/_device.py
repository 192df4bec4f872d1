# SPDX-License-Identifier: BSD-3-Clause
"""Choose the device to train on."""

import torch


def resolve_device(device):
    """Return the torch device that `device` names.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` is the GPU where there is one, else the CPU.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        If torch knows no such device, or it is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
        # The one test that holds for every kind of device and every index. "meta" has
        # no numbers to give back.
        torch.zeros(1, device=resolved).item()
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={str(device)!r} cannot be used here: {_first_line(error)} "
            "Use device='auto' for the GPU where there is one and the CPU elsewhere."
        ) from error
    return resolved


def _first_line(error):
    """Return the first line of an error's message, as a sentence."""
    return str(error).strip().split("\n")[0].rstrip(".") + "."
