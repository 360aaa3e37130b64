# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of text files, directories and absences in one go: atomic, with a diff for each."""
from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import DaneError
from .files import make_directory, own_directory, sync_directory, write_file
from .process import checked

STATES = ("file", "initial", "directory", "absent")


def apply(entries: Sequence[Mapping[str, Any]], check: bool = False) -> dict[str, Any]:
    """Bring `entries` about.

    An entry has `path`, `state` (one of STATES; `initial` writes only what is not there), `content`, `mode` (octal
    text), `owner` and `group` (names) and `validate` (arguments with %s for a file with the new content).  A symbolic link
    where a file should be is replaced, where a directory should be is an error; it is never followed.  All is judged before the first is written.  Returns
    `changed`, `paths` (those that changed) and `diff`.
    """
    wanted = [_judged(entry, check) for entry in entries]
    if not check:
        for entry in wanted:
            _validate(entry)
    changed: list[str] = []
    diffs: list[dict[str, str]] = []
    for entry in wanted:
        diff = _apply(entry, check)
        if diff is not None:
            changed.append(entry["path"])
            diffs.append({"before_header": entry["path"], "after_header": entry["path"], **diff})
    return {"changed": bool(changed), "paths": changed, "diff": diffs}


def _judged(entry: Mapping[str, Any], check: bool) -> dict[str, Any]:
    path = str(entry["path"])
    state = entry.get("state") or "file"
    if not os.path.isabs(path) or os.path.normpath(path) != path or "\0" in path:
        raise DaneError(f"{path!r} is not an absolute path without . and ..; write one")
    if state not in STATES:
        raise DaneError(f"{path}: the state {state!r} is none of {', '.join(STATES)}; choose one")
    if state in ("file", "initial") and entry.get("content") is None:
        raise DaneError(f"{path}: content is missing; give the text of the file")
    mode = str(entry.get("mode") or ("0755" if state == "directory" else "0644"))
    if not mode or len(mode) > 5 or set(mode) - set("01234567"):
        raise DaneError(f"{path}: the mode {mode!r} is not octal; write for example '0644'")
    try:
        owner = pwd.getpwnam(entry["owner"]).pw_uid if entry.get("owner") else os.geteuid()
        group = grp.getgrnam(entry["group"]).gr_gid if entry.get("group") else os.getegid()
    except KeyError as error:
        if not check:  # on a blank host the package that makes the user is not there yet
            raise DaneError(f"{path}: there is no {entry.get('owner')}:{entry.get('group')} on this host; install the package first") from error
        owner = group = -1
    if os.path.isdir(path) and not os.path.islink(path) and state in ("file", "initial"):
        raise DaneError(f"{path} is a directory where a file should be; move it away")
    if state == "directory" and os.path.islink(path):
        raise DaneError(f"{path} is a symbolic link where a directory should be, and is not followed; remove it, and where its content is to be elsewhere "
                        f"use a bind mount")
    return {"path": path, "state": state, "data": str(entry.get("content") or "").encode(), "mode": int(mode, 8), "owner": owner, "group": group,
            "validate": entry.get("validate")}


def _validate(entry: Mapping[str, Any]) -> None:
    path = entry["path"]
    if not entry.get("validate") or os.path.isfile(path) and _content(path) == entry["data"]:
        return
    with tempfile.TemporaryDirectory() as directory:  # 0700
        new = os.path.join(directory, os.path.basename(path))
        write_file(new, entry["data"], 0o600)
        try:
            checked([new if argument == "%s" else argument for argument in entry["validate"]])
        except DaneError as error:
            raise DaneError(f"{path} is left as it was, for its new text is not accepted; correct what it is made of: {error}") from error


def _apply(entry: Mapping[str, Any], check: bool) -> dict[str, str] | None:
    path, state = entry["path"], entry["state"]
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        status = None
    if state == "absent":
        if status is None:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise DaneError(f"{path} is a directory; remove it by hand if nothing in it is needed")
        before = _text(path, status)
        if not check:
            os.unlink(path)
            sync_directory(os.path.dirname(path))
        return {"before": before, "after": ""}
    if state == "initial" and status is not None:
        return None  # a file, or a link to one: its owner changes it as it likes
    facts = (entry["mode"], entry["owner"], entry["group"])
    if status is not None and stat.S_ISREG(status.st_mode) != (state != "directory"):
        status = None if state != "directory" else status  # a link or a device where a file should be
    had = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) if status else None
    if state == "directory":
        if had == facts:
            return None
        if not check:
            make_parents(path)
            own_directory(path, entry["mode"], entry["owner"], entry["group"])
        return {"before": _facts(had), "after": _facts(facts)}
    before = _text(path, status)
    same = status is not None and _content(path) == entry["data"]
    if same and had == facts:
        return None
    if not check:
        make_parents(path)
        write_file(path, entry["data"], entry["mode"], entry["owner"], entry["group"])
    if same:
        return {"before": _facts(had), "after": _facts(facts)}
    if not entry["mode"] & 0o077:  # what others must not read is not for a log either
        return {"before": before and "(content that is not shown)\n", "after": "(other content that is not shown)\n"}
    return {"before": before, "after": entry["data"].decode()}


def make_parents(path: str) -> None:
    """Make the directories above `path`, 0755; those that are there stay as they are."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        make_directory(parent)


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _text(path: str, status: os.stat_result | None) -> str:
    if not status or not stat.S_ISREG(status.st_mode):
        return ""
    return _content(path).decode("utf-8", "replace") if status.st_mode & 0o077 else "(content that is not shown)\n"


def _facts(facts: tuple[int, int, int] | None) -> str:
    return f"mode {facts[0]:04o}, owner {facts[1]}:{facts[2]}\n" if facts else ""
