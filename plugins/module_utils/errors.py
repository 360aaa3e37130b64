# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read: the one exception that is meant for them, foreign text made fit for them, and a line of output."""
from __future__ import annotations

import errno
import sys
from typing import TextIO

# What reading a record, a report or arguments raises where a part has another shape than is expected.
NO_SHAPE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class DaneError(Exception):
    """One clear sentence: the zone, name or file it is about, what is wrong with it, and the cure."""


# What the files of one thing, or what somebody else sent for it, may raise: it is no reason to leave the others alone.
FAULTS = (DaneError, OSError, ValueError)


def sentence(error: DaneError | OSError | ValueError) -> str:
    """One sentence with the cure, also of what the disk refuses and of what cannot be read."""
    if isinstance(error, DaneError):
        return str(error)
    if not isinstance(error, OSError):
        return f"what is in a file, or what somebody sent, cannot be read ({printable(error)}); look at what was put there last, and move it away"
    cure = ("run this as root, on a disk that can be written" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else
            "make room on its disk, or move away what is in its way")
    return f"{printable(error.filename2 or error.filename or 'this host')}: {error.strerror or printable(error)}; {cure}"


def printable(text: object, limit: int = 200) -> str:
    """What somebody else sent, fit for a terminal: printable ASCII on one line, at most `limit` characters."""
    shown = "".join(character if " " <= character <= "~" else "?" for character in str(text)[:limit + 1])
    return shown if len(shown) <= limit else shown[:max(limit - 3, 0)] + "..."


def print_line(line: str, stream: TextIO | None = None) -> None:
    """Write `line` to `stream` (standard output), at once: a journal shows it when it happens."""
    stream = stream or sys.stdout
    stream.write(f"{line}\n")
    stream.flush()
