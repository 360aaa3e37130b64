# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of some of the controller's files on a host: whole or not there, and switched by one rename.

The copy is a directory beside the symbolic link that names it.  A reader that has begun with the copy before finds it for as
long as no third one comes.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import DaneError
from .files import make_directory, switch_link, sync_directory, write_file

FILES_MAX = 5000
OCTETS_MAX = 20 * 2**20
_SKIPPED = (".git", "__pycache__")
_PATH = re.compile(r"(?!\.{0,2}(/|\Z))[^/\0\r\n]+(/(?!\.{0,2}(/|\Z))[^/\0\r\n]+)*")


@dataclass(frozen=True)
class File:
    """One file of the tree."""

    data: bytes
    executable: bool = False

    def brief(self) -> str:
        """What two files must have in common to be the same."""
        return f"{hashlib.sha256(self.data).hexdigest()}{' x' if self.executable else ''}"


Tree = dict[str, File]
"""By path, relative to the top."""


def read_tree(source: str, paths: Iterable[str], optional: Iterable[str] = ()) -> Tree:
    """The files and directories `paths`, and `optional` where they exist, of the directory `source`.

    Not taken: .git, __pycache__ and *.pyc.  A link is taken for what it leads to, which must lie in `source` too.
    """
    top = os.path.realpath(os.path.expanduser(source))
    if not os.path.isdir(top):
        raise DaneError(f"{source} is not a directory on the controller; name the one with the files")
    tree: Tree = {}
    for path in [*paths, *(path for path in optional if os.path.lexists(os.path.join(top, path)))]:
        if not _PATH.fullmatch(path):
            raise DaneError(f"{path!r} is not a path inside {source}; write one such as group_vars/all.yml")
        whole = os.path.join(top, path)
        if os.path.isdir(whole):
            for directory, inner, names in os.walk(whole):
                inner[:] = sorted(name for name in inner if name not in _SKIPPED)
                linked = [name for name in inner if os.path.islink(os.path.join(directory, name))]
                if linked:
                    raise DaneError(f"{os.path.join(directory, linked[0])} is a link to a directory, which is not copied; name that directory itself")
                for name in names:
                    _read(tree, top, os.path.join(directory, name))
        else:
            _read(tree, top, whole)
    return tree


def _inside(path: str, top: str) -> str:
    real = os.path.realpath(path)
    if not real.startswith(f"{top}{os.sep}"):
        raise DaneError(f"{path} leads to {real}, outside {top}; put a copy in its place")
    return real


def _read(tree: Tree, top: str, path: str) -> None:
    if path.endswith(".pyc"):
        return
    name = os.path.relpath(path, top)
    try:
        with open(_inside(path, top), "rb", opener=lambda where, flags: os.open(where, flags | os.O_NONBLOCK)) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DaneError(f"{path} is no regular file; take it away, or name the files to be copied one by one")
            left = OCTETS_MAX - sum(len(file.data) for other, file in tree.items() if other != name)
            data = stream.read(left + 1)
    except OSError as error:
        raise DaneError(f"cannot read {path}: {error.strerror}; make it readable on the controller") from error
    if not _PATH.fullmatch(name):
        raise DaneError(f"{name!r} is not a name for a file to be copied; rename it")
    tree[name] = File(data, bool(status.st_mode & 0o100))
    if len(data) > left or len(tree) > FILES_MAX:
        raise DaneError(f"{top} has more than {FILES_MAX} files or {OCTETS_MAX} octets to be copied (at {name}); name fewer of them")


def manifest(tree: Tree) -> dict[str, str]:
    """What `install` compares the host's copy with."""
    return {path: tree[path].brief() for path in sorted(tree)}


def pack(tree: Tree) -> str:
    """`tree` as text."""
    content = {path: [base64.b64encode(file.data).decode(), file.executable] for path, file in tree.items()}
    return base64.b64encode(zlib.compress(json.dumps(content, sort_keys=True).encode())).decode()


def unpack(text: str) -> Tree:
    """What `pack` has packed."""
    try:
        content = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
        tree = {str(path): File(base64.b64decode(data, validate=True), bool(executable)) for path, (data, executable) in content.items()}
    except (ValueError, TypeError, AttributeError, zlib.error) as error:
        raise DaneError("the archive is not one that file_tree has made; run the playbook again") from error
    for path in tree:
        if not _PATH.fullmatch(path):
            raise DaneError(f"{path!r} in the archive is not a path inside the tree; run the playbook again")
    return tree


def _modes(private: bool) -> tuple[int, int, int]:
    """Of a directory, an executable file, another file."""
    return (0o700, 0o700, 0o600) if private else (0o755, 0o755, 0o644)


def installed(destination: str, private: bool) -> dict[str, str]:
    """The manifest of the copy at `destination`; a file with the wrong mode or owner is in it, and like no other."""
    found: dict[str, str] = {}
    if not os.path.islink(destination):
        if os.path.lexists(destination):
            raise DaneError(f"{destination} is there and is no link of selfhost.dane; move it away")
        return found
    for directory, inner, names in os.walk(os.path.realpath(destination)):
        inner[:] = [name for name in inner if name != "__pycache__"]  # made by a Python that ran from there
        odd = [name for name in inner if os.path.islink(os.path.join(directory, name))]
        for name in [".", *names, *odd]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            mine, mode = status.st_uid == os.geteuid(), stat.S_IMODE(status.st_mode)
            shown = os.path.relpath(path, os.path.realpath(destination))
            if stat.S_ISDIR(status.st_mode):
                if not mine or mode != _modes(private)[0]:
                    found[shown] = "a directory with another mode or owner"
            elif not stat.S_ISREG(status.st_mode) or not mine or mode not in _modes(private)[1:]:
                found[shown] = "no file of that mode and owner"
            else:
                with open(path, "rb") as stream:
                    found[shown] = File(stream.read(), mode == _modes(private)[1]).brief()
    return found


def install(destination: str, wanted: Mapping[str, str], private: bool, tree: Tree | None, check: bool = False) -> dict[str, Any]:
    """Have `destination` lead to the files that the manifest `wanted` names; returns `changed`, `paths` and `diff`.

    Where they differ, `tree` has them; without it, or with `check`, nothing is written.
    """
    if not os.path.isabs(destination) or os.path.normpath(destination) != destination:
        raise DaneError(f"{destination!r} is not an absolute path without . and ..; write one")
    before = installed(destination, private)
    paths = sorted(path for path in {*before, *wanted} if before.get(path) != wanted.get(path))
    if paths and tree is not None and not check:
        if manifest(tree) != dict(wanted):
            raise DaneError(f"the archive for {destination} is not what its manifest says; run the playbook again")
        _write(destination, tree, private)
    names = [[path for path in paths if path in side] for side in (before, wanted)]
    diff = {f"{side}_header": f"{destination} (the files that differ)" for side in ("before", "after")}
    diff |= {side: "".join(f"{path}\n" for path in listed) for side, listed in zip(("before", "after"), names, strict=True)}
    return {"changed": bool(paths), "paths": paths, "diff": [diff] if paths else []}


def _write(destination: str, tree: Tree, private: bool) -> None:
    parent, name = os.path.split(destination)
    if not os.path.isdir(parent):
        make_directory(parent)
    old = os.readlink(destination) if os.path.islink(destination) else ""
    directory_mode, executable, other = _modes(private)
    new = tempfile.mkdtemp(prefix=f".{name}-", dir=parent)
    try:
        for path in sorted(tree):
            whole = os.path.join(new, path)
            if not os.path.isdir(os.path.dirname(whole)):
                os.makedirs(os.path.dirname(whole), 0o700)
            write_file(whole, tree[path].data, executable if tree[path].executable else other)
        for directory, _inner, _names in os.walk(new):
            os.chmod(directory, directory_mode)
            sync_directory(directory)
        sync_directory(parent)
        switch_link(destination, os.path.basename(new))
    except BaseException:
        if not os.path.islink(destination) or os.readlink(destination) != os.path.basename(new):
            shutil.rmtree(new, ignore_errors=True)
        raise
    for entry in os.listdir(parent):
        if re.fullmatch(rf"\.{re.escape(name)}-[a-z0-9_]{{8}}", entry) and entry not in (old, os.path.basename(new)):
            shutil.rmtree(os.path.join(parent, entry), ignore_errors=True)
