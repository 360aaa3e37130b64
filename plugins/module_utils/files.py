# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: atomic and durable writes, links and locks."""
from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import DaneError


def sync_directory(path: str) -> None:
    """Make the names in the directory `path` durable (a rename is not, before this)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str, mode: int = 0o755) -> None:
    """Make the directory `path` and its parents (those 0755), with `mode` whatever the umask."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent and not os.path.isdir(parent):
            make_directory(parent)
        os.mkdir(path, 0o700)
        sync_directory(parent or ".")
    if os.stat(path).st_mode & 0o7777 != mode:
        os.chmod(path, mode)


def write_file(path: str, data: bytes, mode: int = 0o644) -> None:
    """Write `path` so that a reader, a crash or a power loss meets the old content or the new, nothing between.

    The temporary file is in the same directory and never has more permissions than `mode`.
    """
    directory = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise
    sync_directory(directory)


def read_file(path: str, purpose: str) -> bytes:
    """The content of `path`; `purpose` says in the error what it was wanted for."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise DaneError(f"cannot read {path} ({purpose}): {error.strerror}; make it readable or name another file") from error


def switch_link(path: str, target: str) -> None:
    """Point the symbolic link `path` to `target` by one rename."""
    directory = os.path.dirname(path) or "."
    temporary = f"{path}.new"
    try:
        os.unlink(temporary)  # left by a run that died here
    except FileNotFoundError:
        pass
    os.symlink(target, temporary)
    os.rename(temporary, path)
    sync_directory(directory)


@contextmanager
def lock(path: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock `path` (0600).  The kernel drops it with its holder, so a dead one keeps nothing.

    Without `wait` a held lock is an error.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise DaneError(f"{path} is held by another run; wait until it has ended and try again") from error
        yield
    finally:
        os.close(descriptor)
