# SPDX-License-Identifier: BSD-3-Clause
"""Files of data sets: downloaded once, checked, and kept in scikit-learn's folder."""

from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """A file to download: its path in the folder, its address and its MD5 sum."""

    name: str
    url: str
    md5: str


def have_files(title: str, files: list[File], root, download_if_missing) -> None:
    """Download the files that are missing or broken, or raise an error."""
    from torchvision.datasets.utils import check_integrity, download_url

    missing = [f for f in files if not check_integrity(Path(root, f.name), f.md5)]
    if missing and not download_if_missing:
        raise _not_there(title, missing, root, "and download_if_missing=False")
    for i, file in enumerate(missing):
        path = Path(root, file.name)
        try:
            download_url(file.url, path.parent, path.name, file.md5)
        except (OSError, RuntimeError) as error:
            reason = f"and the download failed ({error})"
            raise _not_there(title, missing[i:], root, reason) from error


def check_subset(subset, names: tuple[str, ...]) -> None:
    """Raise unless a subset is one of those that there are."""
    if subset not in names:
        raise ValueError(f"subset={subset!r} must be one of {', '.join(names)}.")


def _not_there(title: str, files: list[File], root, reason: str) -> OSError:
    """Return the error that says which files to put where."""
    lines = [
        f"{title} is not complete in {root}, {reason}. To do without a download, put "
        "these files there:"
    ]
    for file in files:
        path = Path(root, file.name)
        note = "; the file there has another MD5 sum" if path.exists() else ""
        lines.append(f"{path} from {file.url} (MD5 {file.md5}{note})")
    return OSError("\n  ".join(lines))
