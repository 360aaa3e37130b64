# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: atomic and durable writes, links and locks."""
from __future__ import annotations

import fcntl
import os
import stat
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
        old = os.umask(0)  # a run that dies before a chmod would leave a parent closed: that is not looked at again
        try:
            os.mkdir(path, mode)
        finally:
            os.umask(old)
        sync_directory(parent or ".")
    if os.stat(path).st_mode & 0o7777 != mode:
        os.chmod(path, mode)


def own_directory(path: str, mode: int, owner: int, group: int) -> None:
    """Make the directory `path`, whose parent is there, with that mode, owner and group, whatever the umask; a symbolic link is OSError, never followed.

    Whoever may write to the parent may put a link in its place at any time, so all is done to what was opened.
    """
    old = os.umask(0)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        pass
    finally:
        os.umask(old)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, owner, group)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
    sync_directory(os.path.dirname(path))


def write_file(path: str, data: bytes, mode: int = 0o644, owner: int = -1, group: int = -1) -> None:
    """Write `path` so that a reader, a crash or a power loss meets the old content or the new, nothing between.

    The temporary file is in the same directory and never has more permissions than `mode`.  `owner` and `group` are
    numeric; -1 is whoever runs this.
    """
    directory = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if (owner, group) != (-1, -1):
                os.fchown(stream.fileno(), owner, group)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = path
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass
        raise
    sync_directory(directory)


def read_file(path: str, purpose: str, limit: int = -1) -> bytes:
    """The content of `path`; `purpose` says in the error what it was wanted for.

    With `limit`, more octets than that, and what is no regular file, are errors.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | (os.O_NONBLOCK if limit >= 0 else 0))) as stream:
            if limit >= 0 and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise DaneError(f"{path} ({purpose}) is no regular file; name another file")
            content = stream.read(limit + 1 if limit >= 0 else -1)
    except OSError as error:
        raise DaneError(f"cannot read {path} ({purpose}): {error.strerror}; make it readable or name another file") from error
    if 0 <= limit < len(content):
        raise DaneError(f"{path} ({purpose}) is larger than {limit} octets; name another file")
    return content


def switch_link(path: str, target: str) -> None:
    """Point the symbolic link `path` to `target` by one rename."""
    directory, name = os.path.split(path)
    directory = directory or "."
    temporary = os.path.join(directory, f".{name}.new")  # the dot: `path`.new may be the link of another thing
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
