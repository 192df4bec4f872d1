# SPDX-License-Identifier: BSD-3-Clause
"""Time functions that take turns, and compare them."""

import statistics
import time

import torch


def alternate(sides, repeats):
    """Return the seconds of each side, called in turn; the first round is not counted.

    `sides` maps names to functions without arguments.
    """
    seconds = {name: [] for name in sides}
    for i in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if i:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(section, sides, repeats, unit="s", per=1):
    """Return a row for each side: median, and ratio to the first side."""
    seconds = alternate(sides, repeats)
    scale = {"s": 1, "ms": 1e3, "us": 1e6}[unit] / per
    medians = {name: statistics.median(s) * scale for name, s in seconds.items()}
    first = next(iter(medians.values()))
    return [
        {
            "section": section,
            "what": name,
            "median": value,
            "unit": unit,
            "best": min(seconds[name]) * scale,
            "ratio": value / first,
        }
        for name, value in medians.items()
    ]
