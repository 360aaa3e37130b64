# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of several steps that die before any of them: what is there is whole, and the next run completes it.

tls_certificates is in test_certificates.py, signed_zones in test_signing.py.
"""
from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import file_tree, program, text_files, tsig
from ansible_collections.selfhost.dane.plugins.module_utils.file_tree import File, manifest
from dying import dies

EFFECTS = [(os, name) for name in ("rename", "unlink", "mkdir", "rmdir", "symlink")]


def copied(root: Path, number: int) -> dict[str, Any]:
    tree = {name: File(b"%d" % number) for name in ("inventory.yml", "group_vars/all.yml", f"only{number}")}
    return file_tree.install(str(root / "project"), manifest(tree), True, tree)


def installed(root: Path, number: int) -> dict[str, Any]:
    tree = {f"selfhost_dane/{name}.py": File(b"%d" % number) for name in ("__init__", "cli", f"only{number}")}
    return program.install(str(root / "lib"), str(root / "sbin" / "program"), manifest(tree), tree)


def keyed(root: Path, number: int) -> dict[str, Any]:
    return tsig.ensure([{"name": f"{name}.example", "secret": base64.b64encode(b"%d" % number * 16).decode()} for name in ("ns", "ns2")], str(root / "tsig"))


def written(root: Path, number: int) -> dict[str, Any]:
    return text_files.apply([{"path": str(root / name), "content": str(number)} for name in ("a", "b")])


def there(root: Path) -> dict[str, bytes]:
    """Each file that a reader finds by its name, links followed."""
    found: dict[str, bytes] = {}
    for directory, inner, names in os.walk(root, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found.update({os.path.relpath(os.path.join(directory, name), root): Path(directory, name).read_bytes().replace(str(root).encode(), b"ROOT")
                      for name in names if not name.startswith(".")})
    return found


@pytest.mark.parametrize("run", [copied, installed, keyed, written])
@pytest.mark.parametrize("before", [0, 1])
def test_what_dies_anywhere_is_completed_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Path, int], dict[str, Any]],
                                                         before: int) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    whole = []
    for number in (1, 2):
        root = tmp_path / f"whole{number}"
        root.mkdir()
        run(root, number)
        whole.append(there(root))
    points = 0
    for at in range(100):
        root = tmp_path / str(at)
        root.mkdir()
        if before:
            run(root, 1)
        with monkeypatch.context() as patch:
            seen = dies(patch, root, at, EFFECTS)
            try:
                run(root, 2)
            except KeyboardInterrupt:
                pass
        assert not before or {*whole[0]} & {*whole[1]} <= {*there(root)}, (at, seen)
        for path, data in there(root).items():
            assert data in [one.get(path) for one in whole], (path, at, seen)
        run(root, 2)
        left = there(root)
        assert {path: left[path] for path in whole[1]} == whole[1] and not run(root, 2)["changed"], (at, seen)
        points = len(seen)
        if points <= at:
            break
    assert 2 <= points < 100
