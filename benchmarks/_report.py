# SPDX-License-Identifier: BSD-3-Clause
"""Read and write results, make tables, and record commit, versions and machine."""

import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch

from confident_clf.metrics import auroc

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def read(folder: Path, name: str) -> list | dict:
    """Return the results of earlier runs; an empty list if there are none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


def write(folder: Path, name: str, results, text: str, one_a_line=False) -> None:
    """Write results as JSON, and the report made from them as Markdown.

    With `one_a_line`, each result in a list takes one line. This keeps the file short
    if the results are deeply nested.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if one_a_line:
        content = "[\n" + ",\n".join(map(json.dumps, results)) + "\n]"
    else:
        content = json.dumps(results, indent=1)
    (folder / f"{name}.json").write_text(content + "\n")
    (folder / f"{name}.md").write_text(text)


def versions() -> dict[str, str]:
    """Return the commit of this repository, and the versions of its dependencies."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return {
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
    }


def machine(device: str, threads: int) -> dict:
    """Return what timings depend on: the CPU or GPU, its features and the threads."""
    info = Path("/proc/cpuinfo").read_text()
    cpus = [
        line.split(":")[1].strip()
        for line in info.split("\n")
        if line.startswith("model name")
    ]
    return {
        "device": torch.cuda.get_device_name() if "cuda" in device else cpus[0],
        "processors": len(cpus),
        "bfloat16": ", ".join(f for f in ("avx512_bf16", "amx_bf16") if f in info),
        "threads": threads,
    }


def made_with(results: list[dict], *more: str) -> str:
    """Return the versions that results were made with, as text.

    `more` names further entries of the results to list.
    """
    names = [*versions(), *more]
    return "; ".join(
        sorted({", ".join(f"{name} {r[name]}" for name in names) for r in results})
    )


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; the first cell of its header may be ""."""
    return [
        f"| {' | '.join(header).lstrip()} |",
        "|---" * len(header) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def auroc_of(known, unknown) -> float:
    """Return the AUROC of the confidences of known against unknown samples."""
    is_known = np.repeat([1, 0], [len(known), len(unknown)])
    return auroc(is_known, np.concatenate([known, unknown]))


def mean_and_spread(values: list[float], digits=3, ddof=1) -> str:
    """Return the mean, and for two or more values the standard deviation."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {np.std(values, ddof=ddof):.{digits}f}"


def mean_and_largest(values: list[float], digits=3) -> str:
    """Return the mean and, in brackets, the largest value."""
    return f"{np.mean(values):.{digits}f} ({np.max(values):.{digits}f})"
