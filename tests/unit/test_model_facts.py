# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_facts in a real ansible-playbook: no host is touched, and a mistake is told before any would be."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible_collections.selfhost.dane.plugins.action.model_facts import read_variables
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.model import judge_model, slice_of

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "examples/inventory.yml"


class Play:
    """Runs plays on an inventory; every ssh goes into a trap that leaves a mark and fails."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mark = directory / "touched"
        self.trap = directory / "ssh"
        self.trap.write_text(f"#!/bin/sh\necho \"$@\" >> '{self.mark}'\nexit 255\n", encoding="ascii")
        self.trap.chmod(0o755)

    def run(self, *arguments: str, inventory: Path = INVENTORY, hosts: str = "all", task: str = "selfhost.dane.model_facts",
            options: dict[str, Any] | None = None, **more: str) -> tuple[int, str]:
        """The exit status and output of a play with one task, and another that writes the facts beside it; `more` of the environment."""
        save = {"ansible.builtin.copy": {"content": "{{ ansible_facts['dane'] | to_json }}", "dest": f"{self.directory}/{{{{ inventory_hostname }}}}.json"},
                "delegate_to": "localhost", "check_mode": False, "when": "'dane' in ansible_facts",
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
        play = self.directory / "play.yml"
        play.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": [{task: options or {}}, save]}]), encoding="ascii")
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "examples/ansible.cfg"), "ANSIBLE_HOME": str(self.directory / "ansible"),
                       "ANSIBLE_LOCAL_TEMP": str(self.directory / "tmp"), "ANSIBLE_SSH_EXECUTABLE": str(self.trap), "ANSIBLE_NOCOLOR": "1", **more}
        done = subprocess.run([str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(play), *arguments],
                              capture_output=True, text=True, timeout=120, cwd=self.directory, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    def facts(self, host: str) -> Any:
        """What model_facts returned for `host`."""
        return json.loads((self.directory / f"{host}.json").read_text(encoding="utf-8"))


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def example() -> dict[str, Any]:
    """The example's inventory."""
    content: dict[str, Any] = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
    return content


def judged(ttl: int) -> Any:
    """The example's model, without Ansible."""
    everything = example()["all"]
    shared = {key: value for key, value in everything["vars"].items() if key.startswith("dane_")}
    shared["dane_zones"]["pyon.example"]["ttl"] = ttl
    return judge_model({host: {**shared, **own} for host, own in everything["hosts"].items()})


def test_the_trap_tells_of_a_touched_host(play: Play) -> None:
    status, _output = play.run(task="ansible.builtin.ping")
    assert status == 4
    assert play.mark.exists()


def test_the_example_is_judged_without_touching_a_host(play: Play) -> None:
    status, output = play.run("--check", "-e", "ttl=300")
    assert status == 0, output
    assert not play.mark.exists()
    for host in ("vps.pyon.example", "home.pyon.example"):
        assert play.facts(host) == slice_of(judged(300), host)


def test_hosts_outside_the_limit_are_part_of_the_model(play: Play) -> None:
    status, output = play.run("--limit", "home.pyon.example")
    assert status == 0, output
    assert play.facts("home.pyon.example") == slice_of(judged(3600), "home.pyon.example")
    assert not (play.directory / "vps.pyon.example.json").exists()


def test_localhost_knows_what_is_wanted(play: Play) -> None:
    status, output = play.run(hosts="localhost")
    assert status == 0, output
    assert play.facts("localhost") == slice_of(judged(3600), "localhost")


def write(play: Play, content: dict[str, Any]) -> Path:
    """An inventory of the test's own."""
    path = play.directory / "inventory.yml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_mistakes_are_told_before_any_host_is_touched(play: Play) -> None:
    content = example()
    variables = content["all"]["vars"]
    variables["dane_zones"]["pyon.example"]["secondarys"] = []
    variables["dane_certificates"]["g.pyon.example"]["hosts"] = ["vsp.pyon.example"]
    status, output = play.run(inventory=write(play, content))
    assert status == 2
    assert not play.mark.exists()
    assert "dane_zones, zone pyon.example: there is no key secondarys; did you mean secondaries?" in output
    assert "certificate g.pyon.example, hosts: host vsp.pyon.example is not in the inventory; did you mean vps.pyon.example?" in output
    assert "Traceback" not in output


def test_a_variable_that_is_not_defined_is_named(play: Play) -> None:
    content = example()
    content["all"]["vars"]["dane_zones"]["pyon.example"]["mx"] = {"g.pyon.example": "{{ preference }}"}
    status, output = play.run(inventory=write(play, content))
    assert status == 2
    assert "host vps.pyon.example, dane_zones: " in output
    assert "'preference' is undefined" in output
    assert "mend the value or define what it refers to" in output


def test_an_option_is_refused(play: Play) -> None:
    status, output = play.run(options={"zone": "pyon.example"})
    assert status == 2
    assert "Unsupported parameters" in output


class Hostvars(dict[str, dict[str, Any]]):
    """Ansible's hostvars, as far as they are used."""

    def raw_get(self, host: str) -> dict[str, Any]:
        """The variables of a host before templating."""
        return self[host]


class Templar:
    """Templates nothing, and fails where a value is "bad"."""

    def copy_with_new_env(self, available_variables: dict[str, Any]) -> Templar:
        """Itself, once the variables have what a value may refer to."""
        assert "hostvars" in available_variables
        return self

    def template(self, value: Any) -> Any:
        """`value` itself."""
        if value == "bad":
            raise AnsibleError("no such filter:\n x")
        return value


def test_only_the_models_variables_are_read_and_all_errors_are_told() -> None:
    hostvars = Hostvars({"a": {"dane_ipv4": ["198.51.100.1"], "ansible_user": "bad"}, "b": {}})
    assert read_variables(hostvars, Templar()) == {"a": {"dane_ipv4": ["198.51.100.1"]}, "b": {}}
    with pytest.raises(DaneError, match=r"^host a, dane_ipv4: no such filter: x; mend .*\nhost b, dane_zones: no such filter: x; mend"):
        read_variables(Hostvars({"a": {"dane_ipv4": "bad"}, "b": {"dane_zones": "bad"}}), Templar())


def test_a_value_may_refer_to_its_host_and_to_others(play: Play) -> None:
    content = example()
    content["all"]["hosts"]["vps.pyon.example"] = {"address": "198.51.100.10", "dane_ipv4": ["{{ address }}"], "dane_ipv6": ["2001:db8:51::10"]}
    content["all"]["hosts"]["home.pyon.example"]["dane_ipv4"] = ["{{ hostvars['vps.pyon.example'].address[:-1] }}1"]
    content["all"]["vars"]["dane_acme"]["contact"] = "hostmaster@{{ hostvars['vps.pyon.example'].dane_zones | first }}"
    status, output = play.run(inventory=write(play, content))
    assert status == 0, output
    assert play.facts("home.pyon.example") == slice_of(judged(3600), "home.pyon.example")


def test_it_warns_where_hosts_can_take_the_names_of_others(play: Play) -> None:
    """The example's ansible.cfg keeps them from it."""
    said = [" ".join(play.run(**more)[1].split()) for more in ({}, {"ANSIBLE_INJECT_FACT_VARS": "true"})]
    assert ["write inject_facts_as_vars = false under [defaults] in ansible.cfg" in one for one in said] == [False, True]
