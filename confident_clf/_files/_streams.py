# SPDX-License-Identifier: BSD-3-Clause
"""Write and read the bytes of a file: one on the disk, or one that is open."""

import io
import os
import stat
from typing import IO, Any
from uuid import uuid4

# Reading more at once would take the memory for it, whatever the file holds.
_PART = 2**20

Target = str | os.PathLike | IO[bytes]


def check_target(file: Target, method: str) -> None:
    """Raise TypeError unless it is a path, or a binary file with this method."""
    is_binary = hasattr(file, method) and not isinstance(file, io.TextIOBase)
    if not isinstance(file, str | os.PathLike) and not is_binary:
        mode = "rb" if method == "read" else "wb"
        raise TypeError(
            f"A path or a binary file is needed; got {_kind(file)}. Open files with "
            f"mode {mode!r}, or use io.BytesIO."
        )


def write(file: Target, data: bytes) -> None:
    """Write a file on the disk, which is never half written, or to an open one."""
    if hasattr(file, "write"):
        _write_all(file, data)
        return
    folder, name = os.path.split(os.path.abspath(file))
    # A name of its own: one more letter than that of the file may be too many.
    unfinished = os.path.join(folder, f".{uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb") as new:
            new.write(data)
            new.flush()
            os.fsync(new.fileno())
        os.replace(unfinished, os.path.join(folder, name))
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def _write_all(file: Any, data: bytes) -> None:
    """Write to an open file; one without a buffer may take a part at a time."""
    rest = memoryview(data)
    while rest:
        n_written = file.write(rest)
        rest = rest[len(rest) if n_written is None else n_written :]


def read(file: Target, max_size: int) -> bytes:
    """Return the bytes of a regular file, or the rest of an open one.

    Raises ValueError if there are more than `max_size`.
    """
    if hasattr(file, "read"):
        return _read_all(file, max_size)
    # Opening a pipe would block until something is written to it.
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise ValueError(f"{describe(file)} is not a regular file. Pass one.")
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > max_size:
            raise ValueError(
                f"{describe(file)} has {size} bytes, more than max_size={max_size}. If "
                "you trust its source, pass a larger max_size."
            )
        return opened.read(size)


def _read_all(file: Any, max_size: int) -> bytes:
    """Return the rest of an open file; one without a buffer may give parts."""
    parts, size = [], 0
    while part := file.read(min(_PART, max_size + 1 - size)):
        parts.append(part)
        size += len(part)
        if size > max_size:
            raise ValueError(
                f"{describe(file)} has more than max_size={max_size} bytes. If you "
                "trust its source, pass a larger max_size."
            )
    return b"".join(parts)


def describe(file: Target) -> str:
    """Return what to call a file in a message."""
    if isinstance(file, str | os.PathLike):
        return repr(os.fspath(file))
    return f"the {type(file).__name__}"


def _kind(file: object) -> str:
    """Return what something is that is neither a path nor a binary file."""
    if isinstance(file, io.TextIOBase):
        return "a file that is open for text"
    return f"{type(file).__name__}"
