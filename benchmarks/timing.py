# SPDX-License-Identifier: BSD-3-Clause
"""How speed.py measures, and how it reports."""

import platform
import statistics
import subprocess
import time
from pathlib import Path

import sklearn
import skorch
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


def environment(args):
    """Return what the figures depend on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    cpu = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().split("\n")
        if line.startswith("model name")
    ]
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else cpu[0]
    flags = Path("/proc/cpuinfo").read_text()
    return {
        "device": device,
        "processors": len(cpu),
        "bfloat16": ", ".join(f for f in ("avx512_bf16", "amx_bf16") if f in flags),
        "threads": args.threads,
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
    }


def to_markdown(report):
    """Return the tables of all sections."""
    lines = [
        "# Speed",
        "",
        "Written by `python benchmarks/speed.py`. Medians; each ratio",
        "compares with the first line of its table.",
        "",
    ]
    for section in dict.fromkeys(row["section"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["section"] == section]
        made = ", ".join(f"{k} {v}" for k, v in rows[0]["environment"].items())
        lines += [
            f"## {section}",
            "",
            made,
            "",
            "| | median | best | ratio |",
            "|---|---|---|---|",
        ]
        for row in rows:
            best, ratio = (
                f"{row[k]:.3g}" if k in row else "" for k in ("best", "ratio")
            )
            median = f"{row['median']:.3g} {row['unit']}"
            lines.append(f"| {row['what']} | {median} | {best} | {ratio} |")
        lines.append("")
    return "\n".join(lines)
