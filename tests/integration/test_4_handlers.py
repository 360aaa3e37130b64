# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without any one of its handlers the collection does not mend what the handler is there for, and says so.

The tests that are red then are test_daemons_killed_by_hand_are_found_and_started and, for zones and timers, those here.
"""
from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lab_client import PEER, ROOT, VPS, ZONE, good, on, site, verify

POP3 = ("-e", '{"dane_pop3": {}}')
# what makes the observation notify the handler
FAULTS = {
    "Restart apache": "systemctl disable --now apache2",
    "Restart sendmail": "systemctl disable --now sendmail",
    "Restart dovecot": "systemctl disable --now dovecot",
    "Restart nsd": "systemctl disable --now nsd",
    "Restart unbound": "systemctl disable --now unbound",
    "Restart the renewal timer": "systemctl disable --now selfhost-dane-renew.timer",
    "Restart the signing timer": "systemctl disable selfhost-dane-sign.timer",
    "Re-sign zone": f"rm -f /var/lib/selfhost-dane/signed/{ZONE}.signed",
}
CHECKS = {f"Check the configuration of {daemon} before it is stopped" for daemon in ("apache", "dovecot")}  # mend nothing themselves
# needs packages from elsewhere, so it is molecule's scenario `roles` that has it start them, and is red where they do not run
ELSEWHERE = {"Restart the timers of unattended runs"}


@pytest.fixture(scope="module", autouse=True)
def all_daemons(converged: None) -> Iterator[None]:
    """With the one that the example does without."""
    good(site(*POP3))
    yield
    on(VPS, "systemctl disable --now dovecot")
    good(site())


def handlers() -> dict[str, Path]:
    """Each handler of the collection and the file that it is in."""
    return {handler["name"]: file for file in sorted(ROOT.glob("roles/*/handlers/main.yml")) for handler in yaml.safe_load(file.read_text())}


def test_every_handler_has_a_fault() -> None:
    assert set(handlers()) == {*FAULTS, *CHECKS, *ELSEWHERE}


@pytest.mark.parametrize("name", FAULTS)
def test_without_the_handler_the_fault_is_not_mended(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "ansible_collections" / "selfhost" / "dane"
    copy.mkdir(parents=True)
    for part in ("galaxy.yml", "meta", "playbooks", "plugins", "roles"):
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, copy / part)
    file = copy / handlers()[name].relative_to(ROOT)
    kept, found = re.subn(rf"(?ms)^- name: {re.escape(name)}$.*?(?=^- name: |\Z)", "", file.read_text())
    assert found == 1
    file.write_text(kept if "- name" in kept else "[]\n")
    on(VPS, FAULTS[name])
    done = site("--limit", VPS, *POP3, environment={"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)})
    assert done.status != 0, done.output


def test_with_all_handlers_all_is_mended() -> None:
    for command in FAULTS.values():
        on(VPS, command)
    good(site(*POP3))
    on(PEER, f"unbound-control flush_zone {ZONE}")
    good(verify())
    units = "apache2 sendmail dovecot nsd unbound selfhost-dane-renew.timer selfhost-dane-sign.timer"
    assert on(VPS, f"systemctl is-enabled {units}").splitlines() == ["enabled"] * 7
    assert on(VPS, f"systemctl is-active {units}").splitlines() == ["active"] * 7
