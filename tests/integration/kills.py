# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller is killed after every changed task in turn: the long form, `make kills`.

Two hours; `KILLS=20-61 make kills` is the part from the 20th to the 61st task, to go on where one was stopped.
"""
from __future__ import annotations

import os
from pathlib import Path

from lab_client import ROOT, blank, registrar, site, verify

CALLBACK = {"ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "integration" / "callback_plugins"), "ANSIBLE_CALLBACKS_ENABLED": "kill_after"}


def killed_site(after: int, log: Path) -> list[str]:
    """Run site.yml and kill it after `after` changed tasks, 0 never; the names of the changed tasks."""
    log.write_text("")
    done = site(environment={**CALLBACK, "KILL_AFTER": str(after), "KILL_AFTER_LOG": str(log)})
    names = log.read_text().splitlines()
    assert done.status == (-9 if after and len(names) == after else 0), done.output
    return names


def complete(after: str) -> None:
    """The next run completes what was left `after` that task, and leaves nothing to do."""
    for step in (site, registrar, verify):
        done = step()
        assert done.status == 0, f"after {after}: {done.output}"
    again = site("--check")
    assert again.status == 0 and again.total("changed") == 0, f"after {after}: {again.output}"


def test_killed_after_every_changed_task_in_turn_and_completed(internet: None, tmp_path: Path) -> None:
    """One pair of hosts, and each run is killed after its first changed task: each next run takes up what the last one left."""
    blank()
    killed: list[str] = []
    after = 1
    while len(names := killed_site(after, tmp_path / "changed")) == after:
        name = names[-1].split(" ", 1)[1]
        # an observation that was killed before its handler ran is made again: go one task further
        after = after + 1 if name in killed else 1
        if name not in killed:
            killed.append(name)
            print(f"{len(killed)}: killed after changed task {name}", flush=True)
        assert after < 20, f"it does not get beyond {name}"
    complete(killed[-1])
    print(f"{len(killed)} kills, completed", flush=True)


def test_killed_once_after_each_changed_task_of_a_run_on_blank_hosts(internet: None, tmp_path: Path) -> None:
    """Blank hosts each time, killed after the first, the second, .. changed task, and completed by the next run."""
    blank()
    count = len(killed_site(0, tmp_path / "changed"))
    first, last = (int(number) for number in os.environ.get("KILLS", f"1-{count}").split("-"))
    for point in range(first, min(last, count) + 1):
        blank()
        names = killed_site(point, tmp_path / "changed")
        complete(names[-1])
        print(f"{point} of {count}: killed after changed task {names[-1].split(' ', 1)[1]}, completed", flush=True)
