# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""text_files and tsig_keys."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import text_files, tsig
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError


def test_files_are_written_once_with_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    entry = {"path": str(path), "content": "text\n", "mode": "0640"}
    checked = text_files.apply([entry], check=True)
    assert checked["changed"] and not path.parent.exists()
    assert text_files.apply([entry]) == checked
    assert checked["diff"] == [{"before_header": str(path), "after_header": str(path), "before": "", "after": "text\n"}]
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("text\n", 0o640)
    assert text_files.apply([entry]) == {"changed": False, "paths": [], "diff": []}
    path.chmod(0o644)
    assert "mode 0644" in text_files.apply([entry])["diff"][0]["before"]
    assert path.stat().st_mode & 0o7777 == 0o640


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "resolv.conf"
    target.write_text("same\n")
    path.symlink_to(target)
    assert text_files.apply([{"path": str(path), "content": "same\n"}])["changed"]
    assert not path.is_symlink() and target.read_text() == "same\n"


@pytest.mark.parametrize("late", [False, True])
def test_no_link_is_followed_to_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Late: somebody puts it there when all has been judged."""
    target, path, first = tmp_path / "etc", tmp_path / "link", tmp_path / "first"
    target.mkdir(0o755)
    before = target.stat()
    if late:
        monkeypatch.setattr(text_files, "make_parents", lambda _path: path.symlink_to(target))
    else:
        path.symlink_to(target)
    entries = [*([] if late else [{"path": str(first), "content": ""}]), {"path": str(path), "state": "directory", "mode": "0700", "group": "daemon"}]
    with pytest.raises(OSError if late else DaneError, match="Not a directory" if late else "is a symbolic link.*bind mount"):
        text_files.apply(entries)
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid) and not first.exists()


def test_initial_is_written_only_once(tmp_path: Path) -> None:
    path = tmp_path / "anchor"
    entry = {"path": str(path), "content": "one", "state": "initial"}
    assert text_files.apply([entry])["changed"]
    path.write_text("two")
    assert not text_files.apply([entry])["changed"] and path.read_text() == "two"
    link = tmp_path / "link"
    link.symlink_to(path)
    assert not text_files.apply([{**entry, "path": str(link)}])["changed"] and link.is_symlink()


def test_directories_and_absence(tmp_path: Path) -> None:
    path = tmp_path / "d" / "file"
    entries: list[dict[str, Any]] = [{"path": str(tmp_path / "d"), "state": "directory", "mode": "0750"}, {"path": str(path), "content": "x"}]
    text_files.apply(entries)
    assert (tmp_path / "d").stat().st_mode & 0o7777 == 0o750
    absent = [{"path": str(path), "state": "absent"}]
    assert text_files.apply(absent, check=True)["changed"] and path.exists()
    assert text_files.apply(absent)["changed"] and not path.exists()
    assert not text_files.apply(absent)["changed"]


@pytest.mark.parametrize("entry", [{"path": "relative", "content": ""}, {"path": "/a/../b", "content": ""}, {"path": "/x"},
                                   {"path": "/x", "content": "", "mode": "9"},
                                   {"path": "/x", "content": "", "owner": "no-such-user"}, {"path": "/x", "content": "", "state": "link"},
                                   {"path": "/etc", "content": ""}])
def test_all_is_judged_before_anything_is_written(tmp_path: Path, entry: dict[str, Any]) -> None:
    first = {"path": str(tmp_path / "first"), "content": "x"}
    with pytest.raises(DaneError):
        text_files.apply([first, entry])
    assert not (tmp_path / "first").exists()


def test_a_text_that_is_not_accepted_leaves_all_as_it_was(tmp_path: Path) -> None:
    first, path = tmp_path / "first", tmp_path / "file"
    entries: list[dict[str, Any]] = [{"path": str(first), "content": "x"},
                                     {"path": str(path), "content": "bad\n", "validate": ["grep", "-q", "good", "%s"]}]
    assert text_files.apply(entries, check=True)["paths"] == [str(first), str(path)]
    with pytest.raises(DaneError, match="file is left as it was"):
        text_files.apply(entries)
    assert not first.exists() and not path.exists()
    entries[1]["content"] = "good\n"
    assert text_files.apply(entries)["paths"] == [str(first), str(path)]
    entries[1]["validate"] = ["false"]  # asked of what is new alone
    assert not text_files.apply(entries)["changed"]


def test_check_mode_knows_no_owner_yet(tmp_path: Path) -> None:
    assert text_files.apply([{"path": str(tmp_path / "x"), "content": "", "owner": "no-such-user"}], check=True)["changed"]


def test_tsig_keys_are_made_relayed_and_kept(tmp_path: Path) -> None:
    primary, secondary = str(tmp_path / "primary"), str(tmp_path / "secondary")
    wanted = [{"name": "vps.pyon.example", "generate": True}]
    tsig.ensure(wanted, primary, check=True)
    assert not os.path.exists(primary)
    made = tsig.ensure(wanted, primary)
    assert made["changed"] and not tsig.ensure(wanted, primary)["changed"]
    assert tsig.ensure(wanted, primary)["keys"] == made["keys"]
    path = made["keys"][0]["path"]
    assert (os.stat(path).st_mode & 0o777, os.stat(primary).st_mode & 0o777) == (0o600, 0o700)
    assert tsig.ensure([{"name": "vps.pyon.example"}], secondary)["keys"][0]["present"] is False
    given = {"name": "vps.pyon.example", "secret": made["keys"][0]["secret"]}
    relayed = tsig.ensure([given], secondary)
    assert relayed["changed"] and "secret" not in relayed["keys"][0]
    kept = tsig.ensure([{"name": "vps.pyon.example", "secret": None}], secondary)
    assert (kept["changed"], kept["keys"][0]["present"]) == (False, True)
    with open(path, "rb") as one, open(relayed["keys"][0]["path"], "rb") as other:
        assert one.read() == other.read()


@pytest.mark.parametrize("key", [{"name": "../x", "generate": True}, {"name": "x", "secret": 'AAAA"\nserver:'}, {"name": "x", "secret": "QUJD"}])
def test_a_bad_tsig_key_is_not_written(tmp_path: Path, key: dict[str, Any]) -> None:
    with pytest.raises(DaneError):
        tsig.ensure([key], str(tmp_path / "keys"))
    assert not (tmp_path / "keys").exists()


def test_the_diff_of_a_private_file_does_not_show_its_content(tmp_path: Path) -> None:
    path = str(tmp_path / "key")
    for content in ("secret one\n", "secret two\n"):
        done = text_files.apply([{"path": path, "content": content, "mode": "0600"}])
        assert done["changed"] and "secret" not in str(done)
    done = text_files.apply([{"path": path, "state": "absent"}])
    assert done["changed"] and "secret" not in str(done)
