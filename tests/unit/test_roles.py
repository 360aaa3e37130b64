# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said twice in the collection is said alike: defaults and argument specs, modules and action groups, filters and sidecars."""
from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.selfhost.dane.plugins.module_utils import signing

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())
MISSING = object()


def load(path: Path) -> Any:
    """The content of a YAML file; an empty mapping where there is no file or no content."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def differences(role: str, defaults: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """What is wrong with the defaults of a role, seen from its argument specs, and the reverse."""
    wrong = [f"{name}: its name does not start with {role}_" for name in sorted({*defaults, *options}) if not name.startswith(f"{role}_")]
    wrong += [f"{name}: in defaults/main.yml, not in meta/argument_specs.yml" for name in sorted(defaults.keys() - options.keys())]
    for name, option in sorted(options.items()):
        default = option.get("default", MISSING)
        if option.get("required"):
            wrong += [f"{name}: required, and has a default"] if name in defaults or default is not MISSING else []
        elif name not in defaults:
            wrong.append(f"{name}: optional, and not in defaults/main.yml")
        elif default is MISSING or default != defaults[name] or type(default) is not type(defaults[name]):
            said = "none" if default is MISSING else repr(default)
            wrong.append(f"{name}: default is {defaults[name]!r} in defaults/main.yml and {said} in meta/argument_specs.yml")
        wrong += [f"{name}: has no description"] if not option.get("description") else []
    return wrong


def test_the_comparison_finds_each_difference() -> None:
    """A test of the test."""
    described = {"type": "int", "description": "Words."}
    assert differences("web", {"web_port": 443}, {"web_port": {**described, "default": 443}}) == []
    assert differences("web", {}, {"web_port": {**described, "required": True}}) == []
    assert differences("web", {"web_port": 443}, {"web_port": {**described, "default": 444}})
    assert differences("web", {"web_on": True}, {"web_on": {**described, "default": 1}})
    assert differences("web", {"web_port": 443}, {"web_port": described})
    assert differences("web", {"web_port": 443}, {})
    assert differences("web", {}, {"web_port": described})
    assert differences("web", {"web_port": 443}, {"web_port": {**described, "required": True}})
    assert differences("web", {"port": 443}, {"port": {**described, "default": 443}})
    assert differences("web", {"web_port": 443}, {"web_port": {"type": "int", "default": 443}})


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_agree(role: Path) -> None:
    """Each optional variable has the same default in both files, and no variable is in one of them only."""
    specs = load(role / "meta/argument_specs.yml").get("argument_specs", {})
    assert specs.get("main", {}).get("short_description"), f"{role.name}: meta/argument_specs.yml has no entry point main with a short_description"
    options: dict[str, Any] = {}
    for spec in specs.values():
        options.update(spec.get("options", {}))
    assert differences(role.name, load(role / "defaults/main.yml"), options) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_need_nothing_from_outside(role: Path) -> None:
    """A role works alone: its defaults are literal, or follow from the host and from other variables of the same role."""
    path = role / "defaults/main.yml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    known = (f"{role.name}_", "inventory_hostname", "ansible_facts")
    assert [name for name in re.findall(r"{{\s*(\w*)", text) if not name.startswith(known)] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_example_of_the_readme_is_valid(role: Path) -> None:
    """Plays that call the role, with variables that the argument specs of each role accept."""
    shown = re.search(r"^## Example\n+```yaml\n(.*?)^```$", (role / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert shown is not None
    called = set()
    for play in yaml.safe_load(shown.group(1)):
        assert {"name", "hosts", "tasks"} == set(play)
        for task in play["tasks"]:
            assert {"name", "ansible.builtin.import_role"} <= set(task) <= {"name", "ansible.builtin.import_role", "vars"}
            role_of_task = task["ansible.builtin.import_role"]
            name, entry = role_of_task["name"].removeprefix("selfhost.dane."), role_of_task.get("tasks_from", "main").removesuffix(".yml")
            spec = load(ROOT / f"roles/{name}/meta/argument_specs.yml")["argument_specs"][entry]["options"]
            result = ArgumentSpecValidator(spec).validate({key: [] if "{{" in str(value) else value for key, value in task.get("vars", {}).items()})
            assert result.error_messages == []
            called.add(name)
    assert role.name in called


@pytest.mark.parametrize("unit", ["dnssec_zones/templates/selfhost-dane-sign", "tls_certificates/templates/selfhost-dane-renew"])
def test_what_depends_on_the_clock_starts_after_it_is_set(unit: str) -> None:
    """Where the host waits for its clock, the service of the timer does so too."""
    text = (ROOT / f"roles/{unit}.service.j2").read_text(encoding="utf-8")
    for setting in ("Wants", "After"):
        assert re.search(rf"^{setting}=.*\btime-sync\.target\b", text, re.MULTILINE)


def test_what_root_writes_is_not_in_a_directory_of_nsd() -> None:
    """To NSD's user belongs /var/lib/nsd, and with it every name in it: one directory is made there, for NSD itself."""
    tasks = load(ROOT / "roles/nsd/tasks/configure.yml")
    made = next(task["selfhost.dane.text_files"]["files"] for task in tasks if "selfhost.dane.text_files" in task)
    assert made == [{"path": "{{ __nsd_signed }}", "state": "directory"},
                    {"path": "{{ __nsd_state }}/selfhost-dane", "state": "directory", "owner": "{{ __nsd_user }}", "group": "{{ __nsd_group }}"}]
    assert load(ROOT / "roles/nsd/vars/Debian.yml")["__nsd_signed"] == signing.Places.signed and not signing.Places.signed.startswith("/var/lib/nsd")


def test_each_role_has_a_play_of_its_own_in_molecule() -> None:
    """The scenario that runs each role by itself leaves none out."""
    plays = load(ROOT / "molecule/roles/converge.yml")
    assert sorted(entry["role"] for play in plays for entry in play["roles"]) == [f"selfhost.dane.{role.name}" for role in ROLES]


def modules() -> set[str]:
    """The names of all modules."""
    return {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}


def test_each_module_is_in_the_action_group() -> None:
    """module_defaults for group/selfhost.dane.dane reaches every module."""
    groups = load(ROOT / "meta/runtime.yml")["action_groups"]
    assert sorted(groups["dane"]) == sorted(modules())


def test_each_action_plugin_is_documented_as_a_module() -> None:
    """Ansible takes the documentation of an action plugin from the module of its name."""
    assert {path.stem for path in (ROOT / "plugins/action").glob("*.py")} - modules() == set()


def test_each_filter_has_its_sidecar() -> None:
    """The documentation of a filter is in a YAML file of its name."""
    names: set[str] = set()
    for path in sorted((ROOT / "plugins/filter").glob("*.py")):
        plugin = importlib.import_module(f"ansible_collections.selfhost.dane.plugins.filter.{path.stem}")
        names |= set(plugin.FilterModule().filters())
    assert {path.stem for path in (ROOT / "plugins/filter").glob("*.yml")} == names


def test_each_sanity_ignore_file_is_empty() -> None:
    """Nothing is excused, for any version of ansible-core that is supported."""
    files = sorted((ROOT / "tests/sanity").glob("ignore-*.txt"))
    assert [path.name for path in files] == ["ignore-2.19.txt", "ignore-2.20.txt", "ignore-2.21.txt"]
    assert [path.name for path in files if path.read_text(encoding="utf-8").strip()] == []


def test_the_readme_shows_the_example() -> None:
    """The inventory in the README is the one in examples/, which the lab uses."""
    example = (ROOT / "examples/inventory.yml").read_text(encoding="utf-8")
    shown = re.search(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert shown.group(1) == example[example.index("all:\n"):]
