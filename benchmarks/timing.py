# SPDX-License-Identifier: BSD-3-Clause
"""Time functions that take turns, and compare them."""

import statistics
import time
from collections.abc import Callable

import torch


def alternate(
    sides: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of every call; the sides take turns.

    The first round warms up and does not count. Taking turns exposes all sides to the
    same load of the machine, so ratios vary less than times.
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


def compare(
    section: str,
    sides: dict[str, Callable[[], object]],
    repeats: int,
    unit="s",
    per=1,
) -> list[dict]:
    """Return a row for each side: its median, and the ratio to the first side's median.

    `per` divides the times, for example by the number of steps.
    """
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
