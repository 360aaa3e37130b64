# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, links, locks and programs: whole or not at all."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import files, process
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError


def test_write_file_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.write_file(str(tmp_path / "open"), b"x", 0o644)
    finally:
        os.umask(old)
    old = os.umask(0)
    try:
        files.write_file(str(tmp_path / "key"), b"x", 0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def no_space(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        files.write_file(str(target), b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_renamed_is_on_the_disk_before_and_its_directory_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power loss could leave an empty file, or the old one although its reader was told."""
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def syncs(descriptor: int) -> None:
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def renames(old: str, new: str) -> None:
        done.append(("rename", Path(old).name))
        rename(old, new)

    monkeypatch.setattr(files.os, "fsync", syncs)
    monkeypatch.setattr(files.os, "rename", renames)
    files.write_file(str(tmp_path / "file"), b"new")
    temporary = done[0][1]
    assert temporary.endswith(".new") and done == [("fsync", temporary), ("rename", temporary), ("fsync", tmp_path.name)]
    done.clear()
    files.switch_link(str(tmp_path / "live"), "two")
    assert done == [("rename", ".live.new"), ("fsync", tmp_path.name)]


def test_switch_link_replaces_and_survives_its_own_leftover(tmp_path: Path) -> None:
    link = tmp_path / "live"
    files.switch_link(str(link), "one")
    os.symlink("dead", tmp_path / ".live.new")
    files.switch_link(str(link), "two")
    assert os.readlink(link) == "two"
    assert os.listdir(tmp_path) == ["live"]


def test_make_directory_makes_parents_open_and_the_last_as_told(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.make_directory(str(tmp_path / "a" / "b"), 0o700)
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_directory_has_its_mode_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies after mkdir leaves no parent that nobody else can enter."""
    mkdir = os.mkdir

    def dying(path: str, mode: int) -> None:
        mkdir(path, mode)
        raise KeyboardInterrupt

    old = os.umask(0o077)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "mkdir", dying)
            with pytest.raises(KeyboardInterrupt):
                files.make_directory(str(tmp_path / "a" / "b"))
        files.make_directory(str(tmp_path / "a" / "b"))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755


def test_read_file_names_the_file_and_the_purpose(tmp_path: Path) -> None:
    with pytest.raises(DaneError, match=r"cannot read .*/none \(a key\): No such file"):
        files.read_file(str(tmp_path / "none"), "a key")


def test_a_lock_is_not_kept_by_a_killed_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = ("import sys; sys.path.insert(0, sys.argv[2])\n"
            "from module_utils import files\n"
            "with files.lock(sys.argv[1]):\n print('held', flush=True); sys.stdin.read()")
    plugins = Path(files.__file__).resolve().parent.parent
    with subprocess.Popen([sys.executable, "-c", code, path, str(plugins)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(DaneError, match="held by another run"), files.lock(path, wait=False):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with files.lock(path, wait=False):
            pass


def test_checked_gives_output_and_says_what_failed() -> None:
    assert process.checked(["cat"], stdin=b"in") == b"in"
    with pytest.raises(DaneError, match=r"sh -c .* failed with status 3: no cure"):
        process.checked(["sh", "-c", "echo no cure >&2; exit 3"])


def test_a_program_that_hangs_or_is_not_there_is_named() -> None:
    with pytest.raises(DaneError, match=r"sleep 60 did not end within 0\.2 seconds"):
        process.run(["sleep", "60"], timeout=0.2)
    with pytest.raises(DaneError, match="no-such-program is not installed"):
        process.run(["no-such-program"])
