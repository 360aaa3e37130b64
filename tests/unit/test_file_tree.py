# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""file_tree: what is read on the controller, and what becomes of it on a host."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import file_tree
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.file_tree import File, install, manifest, pack, read_tree, unpack


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An operator's project, with more in it than is to be copied."""
    top = tmp_path / "project"
    for path, text in {"inventory.yml": "all:\n", "group_vars/all/vault.yml": "$ANSIBLE_VAULT\n", "group_vars/all/plain.yml": "a: 1\n",
                       "group_vars/__pycache__/x.yml": "no", "group_vars/x.pyc": "no", "group_vars/.git/config": "no", "id_ed25519": "secret"}.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    (top / "script").write_bytes(b"#!/bin/sh\n\xff")
    (top / "script").chmod(0o755)
    return top


def bring(tree: file_tree.Tree, destination: Path, private: bool = True, **more: Any) -> dict[str, Any]:
    return install(str(destination), manifest(tree), private, unpack(pack(tree)), **more)


def content(destination: Path) -> dict[str, tuple[bytes, int]]:
    """Each file below `destination`: its octets and its mode."""
    top = destination.resolve()
    return {str(path.relative_to(top)): (path.read_bytes(), path.stat().st_mode & 0o7777) for path in top.rglob("*") if path.is_file()}


def test_only_what_is_named_is_read(project: Path) -> None:
    tree = read_tree(str(project), ["inventory.yml", "script"], ["group_vars", "host_vars", "ansible.cfg"])
    assert tree == {"inventory.yml": File(b"all:\n"), "script": File(b"#!/bin/sh\n\xff", True),
                    "group_vars/all/vault.yml": File(b"$ANSIBLE_VAULT\n"), "group_vars/all/plain.yml": File(b"a: 1\n")}
    assert unpack(pack(tree)) == tree


def test_links_are_followed_inside_alone(project: Path, tmp_path: Path) -> None:
    (project / "hosts.yml").symlink_to("inventory.yml")
    assert read_tree(str(project), ["hosts.yml"]) == {"hosts.yml": File(b"all:\n")}
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").write_text("x")
    (project / "x").symlink_to(tmp_path / "outside/x")
    (project / "dir").symlink_to(tmp_path / "outside")
    for path in ("x", "dir", "dir/x"):
        with pytest.raises(DaneError, match="outside"):
            read_tree(str(project), [path])
    (project / "group_vars/more").symlink_to("all")
    with pytest.raises(DaneError, match="link to a directory"):
        read_tree(str(project), ["group_vars"])


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "a\nb"])
def test_a_path_that_leads_out_is_refused_on_both_sides(project: Path, path: str, tmp_path: Path) -> None:
    with pytest.raises(DaneError, match="not a path inside"):
        read_tree(str(project), [path])
    with pytest.raises(DaneError, match="not a path inside"):
        bring({path: File(b"")}, tmp_path / "copy")


def test_what_is_no_file_and_what_is_too_much_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DaneError, match="cannot read .*nothing"):
        read_tree(str(project), ["nothing"])
    with pytest.raises(DaneError, match="not a directory"):
        read_tree(str(project / "inventory.yml"), [])
    os.mkfifo(project / "pipe")
    with pytest.raises(DaneError, match="no regular file"):
        read_tree(str(project), ["pipe"])
    monkeypatch.setattr(file_tree, "OCTETS_MAX", 20)
    assert read_tree(str(project), ["inventory.yml", "group_vars/all/vault.yml", "inventory.yml"])
    with pytest.raises(DaneError, match="more than 5000 files or 20 octets"):
        read_tree(str(project), ["group_vars", "inventory.yml"])


@pytest.mark.parametrize("text", ["", "!", "AAAA", "eJwDAAAAAAE="])
def test_an_archive_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DaneError, match="archive"):
        unpack(text)


@pytest.mark.parametrize("private", [True, False])
def test_a_copy_is_made_once_and_switched_by_its_link(project: Path, tmp_path: Path, private: bool) -> None:
    destination = tmp_path / "etc" / "copy"
    tree = read_tree(str(project), ["inventory.yml", "script", "group_vars"])
    checked = bring(tree, destination, private, check=True)
    assert checked["changed"] and not os.path.lexists(destination) and "ANSIBLE_VAULT" not in str(checked)
    assert install(str(destination), manifest(tree), private, None) == checked and not os.path.lexists(destination)
    old = os.umask(0o077)
    try:
        assert bring(tree, destination, private) == checked
    finally:
        os.umask(old)
    plain, executable = (0o600, 0o700) if private else (0o644, 0o755)
    assert content(destination) == {path: (file.data, executable if file.executable else plain) for path, file in tree.items()}
    assert {path.stat().st_mode & 0o7777 for path in [destination.resolve(), *destination.resolve().rglob("*")] if path.is_dir()} == {executable}
    assert bring(tree, destination, private) == {"changed": False, "paths": [], "diff": []}
    (destination.resolve() / "group_vars/__pycache__").mkdir()  # Python's
    assert not bring(tree, destination, private)["changed"]


def test_each_difference_is_seen_and_mended(project: Path, tmp_path: Path) -> None:
    destination = tmp_path / "copy"
    tree = read_tree(str(project), ["inventory.yml", "script", "group_vars"])
    bring(tree, destination)

    def alter(path: str, how: Any) -> None:
        how(destination.resolve() / path)
        done = bring(tree, destination)
        assert done["paths"] == [path] and not bring(tree, destination)["changed"]
        assert set(content(destination)) == set(tree)

    alter("inventory.yml", lambda path: path.write_text("other"))
    alter("script", lambda path: path.chmod(0o600))
    alter("inventory.yml", lambda path: path.chmod(0o644))
    alter("group_vars", lambda path: path.chmod(0o755))
    alter("inventory.yml", lambda path: path.unlink())
    alter("more", lambda path: path.write_text("not ours"))
    alter("link", lambda path: path.symlink_to("/etc/passwd"))
    alter("link", lambda path: path.symlink_to("/etc"))
    del tree["script"]
    assert bring(tree, destination)["diff"] == [{"before_header": f"{destination} (the files that differ)", "before": "script\n",
                                                 "after_header": f"{destination} (the files that differ)", "after": ""}]


def test_who_reads_the_copy_before_can_go_on(project: Path, tmp_path: Path) -> None:
    destination = tmp_path / "copy"
    seen = []
    for number in range(3):
        bring({"file": File(b"%d" % number)}, destination)
        seen.append(destination.resolve())
    assert not seen[0].exists() and (seen[1] / "file").read_bytes() == b"1" and (destination / "file").read_bytes() == b"2"


def test_a_copy_that_fails_leaves_the_one_before(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = tmp_path / "copy"
    bring({"file": File(b"1")}, destination)
    before = sorted(path.name for path in tmp_path.iterdir())

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    for step in ("write_file", "switch_link"):
        with monkeypatch.context() as broken:
            broken.setattr(file_tree, step, fail)
            with pytest.raises(OSError, match="No space"):
                bring({"file": File(b"2")}, destination)
        assert (destination / "file").read_bytes() == b"1" and sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_is_somebody_elses_is_left(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(DaneError, match="is no link"):
        bring({"file": File(b"")}, tmp_path / "copy")
    with pytest.raises(DaneError, match="absolute path"):
        install("relative", {}, True, {})
    with pytest.raises(DaneError, match="not what its manifest says"):
        install(str(tmp_path / "other"), {"file": "x"}, True, {"file": File(b"")})


def test_a_playbook_brings_it_once_and_shows_no_content(project: Path, tmp_path: Path) -> None:
    """Through the action plugin and the module, as verbose as it gets."""
    options = {"source": str(project), "files": ["inventory.yml"], "optional": ["group_vars", "none"], "destination": str(tmp_path / "copy"), "private": True}
    tasks = [{"selfhost.dane.file_tree": options, "check_mode": True, "diff": True, "register": "checked"},
             {"selfhost.dane.file_tree": options, "register": "first"}, {"selfhost.dane.file_tree": options, "register": "second"},
             {"ansible.builtin.debug": {"msg": "{{ [checked, first, second] | map(attribute='changed') }}"}},
             {"selfhost.dane.file_tree": {**options, "files": ["nothing.yml"]}}]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
                   "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run([str(Path(sys.executable).parent / "ansible-playbook"), "-vvv", "play.yml"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    assert "[\n        true,\n        true,\n        false\n    ]" in said, said
    assert done.returncode == 2 and "cannot read" in said and "nothing.yml" in said
    assert set(content(tmp_path / "copy")) == {"inventory.yml", "group_vars/all/vault.yml", "group_vars/all/plain.yml"}
    assert pack({"inventory.yml": File(b"all:\n")})[:20] not in said and "ANSIBLE_VAULT" not in said
    assert manifest({"x": File(b"$ANSIBLE_VAULT\n")})["x"] not in said
