# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unattended runs: when the operator is told what, and the units that run the playbooks."""
from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.selfhost.dane.plugins.module_utils import cli, unattended
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.unattended import LINE_MAX, LINES_MAX, Told, decide, ended, output

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/unattended"
DAY = 86400
INVOCATION = "ab" * 16
GOOD = {"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}


def exited(status: int) -> dict[str, str]:
    return {"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": str(status)}


@pytest.mark.parametrize("environment, reason", [
    (GOOD, ""),
    (exited(2), "a host failed"),
    (exited(4), "a host could not be reached, or the inventory cannot be read"),
    (exited(75), "the run before had not ended after an hour"),
    (exited(203), "it ended with exit status 203"),
    ({"SERVICE_RESULT": "timeout", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}, "it did not end in time and was stopped"),
    ({"SERVICE_RESULT": "oom-kill", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}, "it was ended (oom-kill, KILL)"),
    ({"SERVICE_RESULT": "success", "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}, None),  # systemctl stop, or the host goes down
])
def test_how_a_run_ended(environment: dict[str, str], reason: str | None) -> None:
    assert ended(environment) == reason


def test_only_systemd_knows_how_a_run_ended() -> None:
    with pytest.raises(DaneError, match="leave it to systemd"):
        ended({})


def test_the_operator_is_told_once_then_daily_then_that_it_is_over() -> None:
    known, told = Told(), []
    runs = ["", "", *["a host failed"] * 50, "a host could not be reached", "a host failed", "", ""]
    for number, reason in enumerate(runs):  # one an hour
        what, known = decide(known, reason, 1000 + number * 3600, DAY)
        if what:
            told.append((number, what, known.since))
    begun = 1000 + 2 * 3600
    assert told == [(2, "failed", begun), (26, "still", begun), (50, "still", begun), (52, "failed", begun), (53, "failed", begun), (54, "over", 0)]


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    known = Told("a host failed", 1000 * DAY, 1000 * DAY)
    assert decide(known, "a host failed", 1000 * DAY + 1, DAY)[0] == ""
    assert decide(known, "a host failed", 1000 * DAY - 1, DAY)[0] == "still"


class Host:
    """A host with a configuration, and programs in place of sendmail and journalctl."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.monkeypatch = path, monkeypatch
        self.config: dict[str, Any] = {"run": "renew", "host": "control.example", "mail": "op.er+ator@elsewhere.example",
                                       "unit": "selfhost-dane-unattended-renew.service", "state": str(path / "state" / "renew.json"),
                                       "sendmail": str(path / "sendmail"), "remind": DAY}
        self.program("sendmail", f'printf "%s\\n" "$*" >{path}/arguments; cat >>{path}/mail')
        self.program("journalctl", f'case "$*" in *_SYSTEMD_INVOCATION_ID={INVOCATION}) cat {path}/journal;; --sync) ;; *) exit 1;; esac')
        self.journal("fatal: it broke\n")
        monkeypatch.setenv("PATH", str(path), prepend=os.pathsep)
        monkeypatch.setenv("INVOCATION_ID", INVOCATION)

    def program(self, name: str, script: str) -> None:
        (self.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.path / name).chmod(0o755)

    def journal(self, text: str) -> None:
        (self.path / "journal").write_text(text, encoding="utf-8")

    def ran(self, environment: dict[str, str]) -> int:
        """systemd calls the program after a run."""
        for key, value in environment.items():
            self.monkeypatch.setenv(key, value)
        (self.path / "config").write_text(json.dumps(self.config))
        return cli.main(["tell", "--config", str(self.path / "config")])

    def mail(self) -> email.message.Message | None:
        """The mail that was taken, once."""
        path = self.path / "mail"
        taken = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        return email.message_from_bytes(taken) if taken else None


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def text_of(mail: email.message.Message | None) -> str:
    assert mail is not None
    return str(mail.get_payload())


def test_a_failure_is_told_and_its_end(host: Host) -> None:
    assert host.ran(GOOD) == 0 and host.mail() is None
    assert host.ran(exited(2)) == 0
    mail = host.mail()
    assert mail is not None and (host.path / "arguments").read_text() == "-i -t\n"
    assert {key: mail[key] for key in ("To", "Subject", "Auto-Submitted", "Cc", "Bcc")} == {
        "To": "op.er+ator@elsewhere.example", "Subject": "renew on control.example failed", "Auto-Submitted": "auto-generated", "Cc": None, "Bcc": None}
    for said in ("a host failed", "journalctl --unit selfhost-dane-unattended-renew.service", "\nfatal: it broke\n"):
        assert said in text_of(mail)
    assert (os.stat(host.config["state"]).st_mode & 0o777, os.stat(os.path.dirname(host.config["state"])).st_mode & 0o777) == (0o600, 0o700)
    assert host.ran(exited(2)) == 0 and host.mail() is None
    host.config["remind"] = 0
    assert host.ran(exited(2)) == 0 and "It fails since" in text_of(host.mail())
    assert host.ran({**GOOD, "EXIT_CODE": "killed", "EXIT_STATUS": "TERM"}) == 0 and host.mail() is None
    assert host.ran(GOOD) == 0
    mail = host.mail()
    assert mail is not None and mail["Subject"] == "renew on control.example is well again" and "broke" not in text_of(mail)
    assert host.ran(GOOD) == 0 and host.mail() is None


def test_what_was_not_taken_is_told_after_the_next_run(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.program("sendmail", "echo the queue is full; exit 75")
    assert host.ran(exited(2)) == 1 and "the queue is full" in capsys.readouterr().err
    host.program("sendmail", f"cat >{host.path}/mail")
    assert host.ran(exited(2)) == 0 and host.mail() is not None
    host.program("sendmail", "exit 75")
    assert host.ran(GOOD) == 1
    host.program("sendmail", f"cat >{host.path}/mail")
    assert host.ran(GOOD) == 0 and "has ended well" in text_of(host.mail())


@pytest.mark.parametrize("state", [b"", b'{"reason": ', b"[]", b'{"reason": 1, "since": 0, "told": 0}', b'{"told": 1, "more": 2}', b"\xff", b"[" * 60000,
                                   b'{"reason": "a host failed", "since": 1000000000000000000}', b'{"reason": "a host failed", "told": -1}', b" " * 70000])
def test_a_state_that_is_not_whole_counts_as_not_told(host: Host, state: bytes) -> None:
    Path(host.config["state"]).parent.mkdir()
    Path(host.config["state"]).write_bytes(state)
    assert host.ran(exited(2)) == 0 and host.mail() is not None
    assert host.ran(exited(2)) == 0 and host.mail() is None


def test_a_state_that_cannot_be_read_or_written_silences_nobody(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    state = Path(host.config["state"])
    state.mkdir(parents=True)
    assert host.ran(exited(2)) == 1 and "a host failed" in text_of(host.mail())
    said = capsys.readouterr()
    assert f"{state} cannot be read or is not whole" in said.out and f"told {host.config['mail']}" in said.out
    assert f"cannot write {state} (what the operator was told): Is a directory; make room" in said.err
    assert host.ran(GOOD) == 0 and host.mail() is None
    state.rmdir()
    state.parent.rmdir()
    state.parent.write_text("a file where the directory should be")
    assert host.ran(exited(2)) == 1 and host.mail() is not None and "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"mail": "a@b.example\nBcc: c@d.example"}, {"mail": "a@b.example, c@d.example"}, {"mail": "root"}, {"host": "a\nb"},
                                   {"host": 1}, {"run": "a b"}, {"sendmail": "sendmail"}, {"remind": "86400"}, {"remind": True}, {"more": 1}])
def test_a_configuration_that_the_role_does_not_write_is_refused(host: Host, wrong: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    host.config.update(wrong)
    assert host.ran(exited(2)) == 1 and host.mail() is None
    assert "run the playbook site again" in capsys.readouterr().err


def test_hostile_output_stays_in_the_body_and_within_bounds(host: Host) -> None:
    host.journal("\x1b[31mred\x07 \u202e\n.\nBcc: all@everywhere.example\n" + "x" * 5000 + "\n")
    assert host.ran(exited(2)) == 0
    taken = (host.path / "mail").read_bytes()
    assert taken.isascii() and max(len(line) for line in taken.splitlines()) <= LINE_MAX and b"\x1b" not in taken
    mail = host.mail()
    assert mail is not None and mail["Bcc"] is None and "?[31mred? ?\n.\nBcc: all@everywhere.example\n" in text_of(mail)
    assert "x" * 5000 in "".join(output(INVOCATION))
    host.journal("line\n" * 1000)
    assert len(output(INVOCATION)) == LINES_MAX


def test_without_the_journal_the_failure_is_told_all_the_same(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.program("journalctl", "echo no; exit 1")
    assert host.ran(exited(2)) == 0 and "the journal cannot be read" in text_of(host.mail())
    monkeypatch.setenv("INVOCATION_ID", "$(reboot)")
    assert host.ran(exited(4)) == 0 and "did not say" in text_of(host.mail())


# --- the role --------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "__unattended_run": "renew", "__unattended_config": "/etc/c", "__unattended_state": "/var/s", "__unattended_code": "/opt/o",
    "__unattended_venv": "/opt/o/venv", "__unattended_program": "/usr/local/sbin/selfhost-dane", "unattended_inventory": ["one.yml", "two"],
    "unattended_vault_password_file": "", "unattended_manages_itself": False, "unattended_interval": 3600}


def rendered(name: str, **values: Any) -> list[str]:
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    text = environment.from_string((ROLE / "templates" / name).read_text()).render({**VALUES, **values})
    return re.sub(r"\\\n\s*", "", text).splitlines()


def test_the_run_has_each_inventory_and_last_its_own() -> None:
    line = next(line for line in rendered("run.service.j2") if line.startswith("ExecStart="))
    assert line == ("ExecStart=/usr/bin/flock --exclusive --close --timeout 3600 --conflict-exit-code 75 /var/s/lock /opt/o/venv/bin/ansible-playbook "
                    "--inventory /etc/c/project/one.yml --inventory /etc/c/project/two --inventory /etc/c/here --extra-vars @/etc/c/ssh.yml "
                    "selfhost.dane.renew")
    assert str(unattended.LOCKED) in line.split()
    line = next(line for line in rendered("run.service.j2", unattended_vault_password_file="/etc/v") if line.startswith("ExecStart="))
    assert line.endswith("@/etc/c/ssh.yml --vault-password-file /etc/v selfhost.dane.renew")


def test_a_run_writes_to_the_host_only_where_the_playbooks_change_it() -> None:
    writable = "ReadWritePaths="
    assert [line for line in rendered("run.service.j2") if line.startswith(writable)] == ["ReadWritePaths=/var/s"]
    lines = rendered("run.service.j2", unattended_manages_itself=True)
    assert [line for line in lines if line.startswith(writable)] == ["ReadWritePaths=/etc /run /var"] and "ReadOnlyPaths=/etc/c" in lines


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLE / "tasks" / name).read_text())
    return found


def test_no_host_takes_the_name_of_another_one() -> None:
    assert "Environment=ANSIBLE_INJECT_FACT_VARS=false" in rendered("run.service.j2")


def test_what_changes_hosts_waits_for_each_older_run_to_its_end() -> None:
    """Whatever is copied now: an earlier site.yml may have copied it, and have been stopped while it waited."""
    for name, where in (("project.yml", -1), ("tidy.yml", 0)):
        assert set(tasks(name)[where]) == {"name", "ansible.builtin.include_tasks"} and tasks(name)[where]["ansible.builtin.include_tasks"] == "wait.yml"
    wait, say = tasks("wait.yml")
    words = wait["ansible.builtin.command"]["argv"]
    assert {"TimeoutStartSec=3h", "TimeoutStopSec=5min"} <= set(rendered("run.service.j2"))
    assert wait["retries"] * int(words[words.index("--timeout") + 1]) > 3 * 3600 + 300
    assert say["when"] == "__unattended_ended.rc == 75" and words[words.index("--conflict-exit-code") + 1] == "75"


def retired(path: Path, *options: str) -> tuple[str, str]:
    """What a playbook says that retires the host `path`, and what it has asked systemctl for."""
    called = path / "called"
    called.unlink(missing_ok=True)
    variables = {"__unattended_config": "/etc/c", "__unattended_state": str(path), "__unattended_systemd": str(path), "__unattended_stuck": "it is stuck"}
    (path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [
        {"ansible.builtin.include_tasks": str(ROLE / "tasks/retire.yml"), "vars": variables}]}]))
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "ANSIBLE_HOME": str(path / "ansible"), "ANSIBLE_NOCOLOR": "1",
                   "ANSIBLE_REMOTE_TMP": str(path / "remote")}
    done = subprocess.run([str(Path(sys.executable).parent / "ansible-playbook"), "play.yml", *options], cwd=path, env=environment, capture_output=True,
                          text=True, timeout=120, check=False)
    return done.stdout + done.stderr, called.read_text() if called.exists() else ""


def test_a_former_host_stops_and_one_that_never_was_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/called\n'
                                        f'case $1 in disable) rm {tmp_path}/timers.target.wants/*;; esac\n')
    (tmp_path / "systemctl").chmod(0o755)
    for options in ((), ("--check",)):
        said, called = retired(tmp_path, *options)
        assert "changed=0" in said and "failed=0" in said and called == ""
    (tmp_path / "timers.target.wants").mkdir()
    (tmp_path / "timers.target.wants/selfhost-dane-unattended-renew.timer").touch()
    (tmp_path / "lock").touch()
    said, called = retired(tmp_path, "--check")
    assert "changed=1" in said and called == ""
    (tmp_path / "flock").write_text(f'#!/bin/sh\necho "flock $*" >>{tmp_path}/called; exit 75\n')
    (tmp_path / "flock").chmod(0o755)
    said, called = retired(tmp_path)
    assert "it is stuck" in said and "failed=1" in said and "disable" not in called
    timeout = int(called.split("--timeout ")[1].split()[0])
    assert timeout > 3 * 3600 + 300  # what its unit allows a run
    (tmp_path / "flock").unlink()
    said, called = retired(tmp_path)
    assert "changed=1" in said and "failed=0" in said
    assert called.splitlines() == ["stop selfhost-dane-unattended-*.timer",
                                   "disable selfhost-dane-unattended-renew.timer selfhost-dane-unattended-verify.timer"]
    assert "changed=0" in retired(tmp_path)[0]


def test_every_managed_host_but_one_is_asked_before_any_is_changed() -> None:
    plays = yaml.safe_load((ROOT / "playbooks/site.yml").read_text())
    names = [play["name"] for play in plays]
    play = plays[names.index("Hosts that may have worked unattended before")]
    assert play["hosts"] == "{{ groups['dane_managed'] | default([]) | difference(groups['dane_unattended'] | default([])) }}"
    assert names.index(play["name"]) < names.index("Resolvers")


@pytest.mark.parametrize("interval, first, spread", [(3600, 600, 360), (20, 20, 2), (5, 5, 0)])
def test_the_timer_starts_soon_and_waits_from_the_end_of_a_run(interval: int, first: int, spread: int) -> None:
    lines = rendered("run.timer.j2", unattended_interval=interval)
    assert {f"OnActiveSec={first}", f"OnUnitInactiveSec={interval}", f"RandomizedDelaySec={spread}"} <= set(lines)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for kind in ("service", "timer"):
        lines = rendered(f"run.{kind}.j2", __unattended_venv="/usr", __unattended_program="/usr/bin/true")
        (tmp_path / f"x.{kind}").write_text("\n".join(lines).replace("/usr/bin/ansible-playbook", "/usr/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "./x.timer"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_packages_are_those_that_are_tested() -> None:
    """Each version of the role's requirements is that of requirements.lock, and each has a digest."""
    text = (ROLE / "files/requirements.txt").read_text()
    pinned = re.compile(r"^(([a-z0-9-]+)==[^ \n]+)", re.MULTILINE)
    wanted = pinned.findall(text)
    assert {"ansible-core", "cryptography", "dnspython"} <= {name for _version, name in wanted}
    assert set(wanted) <= set(pinned.findall((ROOT / "requirements.lock").read_text()))
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:])


def test_the_host_logs_in_only_where_its_playbooks_do() -> None:
    """Who is let in is said in the model; a play that goes elsewhere would fail there."""
    reached = {"localhost", "dane_primaries", "dane_certificate_hosts"}

    def plays(name: str) -> list[dict[str, Any]]:
        found = yaml.safe_load((ROOT / "playbooks" / name).read_text())
        return [one for play in found for one in (plays(play["ansible.builtin.import_playbook"]) if "hosts" not in play else [play])]

    seen = [play for name in ("renew.yml", "verify.yml") for play in plays(name)]
    assert {play["hosts"] for play in seen} >= {"dane_primaries:dane_certificate_hosts"} and len(seen) > 3
    for play in seen:
        judges_alone = play["hosts"] == "all" and play["name"] == "Judge the model"  # without touching a host
        assert judges_alone or "'vantage'" in play["hosts"] or set(play["hosts"].split(":")) <= reached, play["name"]
