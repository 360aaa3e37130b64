# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's program: installed whole, switched from one version to the next by one rename."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import file_tree, program
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.file_tree import File, Tree, manifest

LIBRARY = Path(program.__file__).parent


class Host:
    """Where the program is installed."""

    def __init__(self, path: Path) -> None:
        self.directory, self.program = path / "lib", path / "sbin" / "selfhost-dane"

    def install(self, tree: Tree, **more: Any) -> dict[str, Any]:
        return program.install(str(self.directory), str(self.program), manifest(tree), tree, **more)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, str(self.program), *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def says(self) -> str:
        """What the program says, of a version that `version` has made."""
        with self.start() as process:
            out, err = process.communicate("\n", timeout=60)
        assert process.returncode == 0, err
        return out.removeprefix("begun\n").strip()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def version(number: int, *more: str) -> Tree:
    """A program that takes one half of its version at the start, and the other one after a line of input."""
    return {"selfhost_dane/__init__.py": File(b""), **{f"selfhost_dane/{name}": File(b"") for name in more},
            "selfhost_dane/cli.py": File(b"from .one import NUMBER as ONE\ndef main():\n    print('begun', flush=True)\n    input()\n"
                                         b"    from .two import NUMBER as TWO\n    print(ONE, TWO)\n    return 0\n"),
            "selfhost_dane/one.py": File(b"NUMBER = %d\n" % number), "selfhost_dane/two.py": File(b"NUMBER = %d\n" % number)}


def test_the_program_runs_from_what_is_installed(host: Host, tmp_path: Path) -> None:
    host.install(program.read_library(str(LIBRARY)))
    assert os.access(host.program, os.X_OK)
    config = tmp_path / "zones.json"
    config.write_text('{"zones": []}')
    with host.start("sign", "--config", str(config)) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "") and "signature_validity" in err
    assert not list(tmp_path.rglob("__pycache__"))
    assert not host.install(program.read_library(str(LIBRARY)))["changed"]


def test_without_the_files_and_in_check_mode_nothing_is_written(host: Host, tmp_path: Path) -> None:
    tree = version(1)
    asked = program.install(str(host.directory), str(host.program), manifest(tree), None)
    checked = host.install(tree, check=True)
    assert asked["changed"] and asked["paths"] == checked["paths"] and asked["diff"] == [] and not list(tmp_path.iterdir())
    assert host.install(tree) == checked
    host.program.write_text("#!/bin/sh\n")
    assert program.install(str(host.directory), str(host.program), manifest(tree), None)["paths"] == [str(host.program)]
    assert host.program.read_text() == "#!/bin/sh\n" and host.install(tree)["paths"] == [str(host.program)]


def test_the_diff_has_the_text_of_each_file(host: Host) -> None:
    host.install(version(1, "old.py"))
    shown = {diff["after_header"].removeprefix(f"{host.directory}/current/selfhost_dane/"): (diff["before"], diff["after"])
             for diff in host.install(version(2), check=True)["diff"]}
    assert shown == {"old.py": ("", ""), "one.py": ("NUMBER = 1\n", "NUMBER = 2\n"), "two.py": ("NUMBER = 1\n", "NUMBER = 2\n")}
    assert host.says() == "1 1"
    done = host.install(version(2))
    assert ("NUMBER = 1\n", "NUMBER = 2\n") in [(diff["before"], diff["after"]) for diff in done["diff"]] and host.says() == "2 2"


def test_a_run_that_has_begun_goes_on_with_its_own_version(host: Host) -> None:
    host.install(version(1))
    with host.start() as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        host.install(version(2))
        out, _err = process.communicate("\n", timeout=60)
    assert out == "1 1\n" and host.says() == "2 2"


@pytest.mark.parametrize("step", ["write_file", "switch_link"])
def test_an_update_that_fails_leaves_the_version_before_whole(host: Host, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    host.install(version(1))
    true, calls = getattr(file_tree, step), []

    def fail(*arguments: Any) -> None:
        calls.append(arguments)
        if step == "switch_link" or len(calls) == 4:
            raise OSError(28, "No space left on device")
        true(*arguments)

    with monkeypatch.context() as full:
        full.setattr(file_tree, step, fail)
        with pytest.raises(OSError, match="No space"):
            host.install(version(2))
    assert host.says() == "1 1"
    assert host.install(version(2))["changed"] and host.says() == "2 2"


def test_versions_before_the_last_one_are_removed(host: Host) -> None:
    for number in range(4):
        host.install(version(number))
    assert len([path for path in host.directory.iterdir() if not path.is_symlink()]) == 2


def test_a_program_without_versions_is_taken_over(host: Host) -> None:
    package = host.directory / "selfhost_dane"
    package.mkdir(parents=True)
    for path, file in version(0).items():
        (host.directory / path).write_bytes(file.data)
    host.program.parent.mkdir()
    host.program.write_text(f"import sys\nsys.path.insert(0, {str(host.directory)!r})\nfrom selfhost_dane.cli import main\nmain()\n")
    assert host.says() == "0 0"
    tree = version(1)
    assert host.install(tree, check=True)["paths"][-2:] == [str(host.program), str(package)] and host.says() == "0 0"
    assert host.install(tree)["changed"] and host.says() == "1 1" and not package.exists()
    assert host.install(tree) == {"changed": False, "paths": [], "diff": []}


def test_what_is_somebody_elses_is_left(host: Host) -> None:
    (host.directory / "current").mkdir(parents=True)
    with pytest.raises(DaneError, match="is no link"):
        host.install(version(1))


def test_a_playbook_installs_it_once(tmp_path: Path) -> None:
    """Through the action plugin and the module."""
    call = {"selfhost.dane.host_program": {"directory": str(tmp_path / "lib"), "program": str(tmp_path / "sbin/program")}}
    tasks = [{**call, "check_mode": True, "diff": True, "register": "checked"}, {**call, "check_mode": True, "register": "asked"},
             {**call, "register": "first"}, {**call, "register": "second"},
             {"ansible.builtin.debug": {"msg": "{{ [checked, asked, first, second] | map(attribute='changed') }}"}}]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
                   "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    done = subprocess.run([str(Path(sys.executable).parent / "ansible-playbook"), "play.yml"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=120, check=False)
    assert "[\n        true,\n        true,\n        true,\n        false\n    ]" in done.stdout, done.stdout + done.stderr
    assert "+++ after: " in done.stdout and "+def main(arguments" in done.stdout
    assert {path.name for path in (tmp_path / "lib/current/selfhost_dane").iterdir()} == {path.name for path in LIBRARY.glob("*.py")} | {"__init__.py"}
