# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running daemon against the disk, with a made-up /proc and systemd, and real files."""
from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.selfhost.dane.plugins.module_utils import running, tls_client
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError
from ansible_collections.selfhost.dane.plugins.module_utils.running import Endpoint, Finding, Moment, Service, Unit
from ansible_collections.selfhost.dane.plugins.modules import running_service
from wire_fakes import issue

LEAF, ISSUER, ROOT, OTHER = b"leaf", b"issuer", b"root", b"other"
GROUP = "/system.slice/sendmail.service"


def pem(*chain: bytes) -> str:
    return "".join(f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE-----\n" for der in chain)


def make_process(proc: Path, pid: int, started: float, state: str = "S", cgroup: str = f"0::{GROUP}") -> None:
    directory = proc / str(pid)
    directory.mkdir(parents=True)
    ticks = int(started / running.TICK)
    (directory / "stat").write_text(f"{pid} (a) b ({pid}) {state} " + "0 " * 18 + f"{ticks} 0 0\n")
    (directory / "cgroup").write_text(f"9:pids:/\n{cgroup}\n")


# --- the main process


def test_systemd_knows_the_main_process(tmp_path: Path) -> None:
    make_process(tmp_path, 7, 12.5)
    make_process(tmp_path, 8, 3.0)
    assert running.main_process(Unit(True, 7, GROUP, 0), proc=str(tmp_path)) == (7, 12.5)


def test_without_a_main_process_the_oldest_of_the_unit(tmp_path: Path) -> None:
    make_process(tmp_path, 7, 12.5)
    make_process(tmp_path, 8, 14.0, cgroup=f"1:name=systemd:{GROUP}/child")
    make_process(tmp_path, 5, 1.0, cgroup="0::/system.slice/sendmail.service2")
    make_process(tmp_path, 6, 1.0, cgroup=f"3:memory:{GROUP}")
    assert running.main_process(Unit(True, 0, GROUP, 0), proc=str(tmp_path)) == (7, 12.5)


def test_the_pid_file_decides_among_the_processes_of_the_unit(tmp_path: Path) -> None:
    make_process(tmp_path, 7, 12.5)
    make_process(tmp_path, 8, 14.0)
    make_process(tmp_path, 9, 15.0, cgroup="0::/user.slice")
    pid_file = tmp_path / "pid"
    unit = Unit(True, 0, GROUP, 0)
    pid_file.write_text("8\n/usr/sbin/sendmail-mta -bd\n")
    assert running.main_process(unit, str(pid_file), str(tmp_path)) == (8, 14.0)
    pid_file.write_text("9\n")  # used again by another
    assert running.main_process(unit, str(pid_file), str(tmp_path)) is None
    pid_file.write_text("4711\n")  # killed by hand; 7 and 8 are what is left of its children
    assert running.main_process(unit, str(pid_file), str(tmp_path)) is None
    pid_file.unlink()
    assert running.main_process(unit, str(pid_file), str(tmp_path)) == (7, 12.5)


def test_a_pipe_in_place_of_the_pid_file_is_not_waited_for(tmp_path: Path) -> None:
    make_process(tmp_path, 7, 12.5)
    os.mkfifo(tmp_path / "pid")
    code = f"from {running.__name__} import main_process, Unit; main_process(Unit(True, 0, {GROUP!r}, 0), './pid', '.')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=20, capture_output=True, check=False)
    assert b"./pid (the number of the main process) is no regular file" in done.stderr


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_dead_process_does_not_run(tmp_path: Path, state: str) -> None:
    make_process(tmp_path, 7, 12.5, state)
    assert running.main_process(Unit(True, 7, GROUP, 0), proc=str(tmp_path)) is None


def test_an_active_unit_without_processes_does_not_run(tmp_path: Path) -> None:
    assert running.main_process(Unit(True, 0, GROUP, 0), proc=str(tmp_path)) is None
    assert running.main_process(Unit(True, 0, "", 0), proc=str(tmp_path)) is None
    assert running.main_process(Unit(True, 4711, GROUP, 0), proc=str(tmp_path)) is None


def test_a_real_process_is_dated_right() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        known = running.read_stat(child.pid)
        child.communicate(b"")
    assert known is not None
    assert before - running.TICK <= known[1] <= after
    assert running.read_stat(child.pid) is None


# --- the files


def names(path: Path) -> list[str]:
    return [os.path.basename(name) for name, _time in running.changes(str(path))]


def test_links_on_the_way_and_the_target_count(tmp_path: Path) -> None:
    version = tmp_path / "versions" / "one"
    version.mkdir(parents=True)
    (version / "privkey.pem").write_text("x")
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "g").symlink_to("../versions/one")
    assert names(tmp_path / "live" / "g" / "privkey.pem") == ["g", "privkey.pem"]
    assert names(tmp_path / "live" / "g") == ["g", "one", "privkey.pem"]
    assert names(tmp_path / "live") == ["live", "g", "one", "privkey.pem"]


def test_what_does_not_exist_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    assert names(tmp_path / "absent") == []
    assert names(tmp_path / "file" / "below") == []
    assert names(tmp_path / "dangling") == ["dangling"]


def test_a_loop_of_links_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(DaneError, match="loop of symbolic links"):
        names(tmp_path / "a")


# --- the judgement


@pytest.fixture(name="world")
def fixture_world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A unit that started `age` seconds before `now` (the unit `unit_age`), both in a clock of its own."""
    state: dict[str, Any] = {"unit": Unit(True, 7, GROUP, 0), "runs": True, "started": 500.0, "now": 1000.0}
    real = time.time()

    def main_process(unit: Unit, pid_file: str = "") -> tuple[int, float] | None:
        del unit, pid_file
        return (7, state["started"]) if state["runs"] else None

    monkeypatch.setattr(running, "read_unit", lambda name: state["unit"])
    monkeypatch.setattr(running, "main_process", main_process)
    monkeypatch.setattr(running.time, "clock_gettime", lambda clock: state["now"])
    monkeypatch.setattr(running.time, "monotonic", lambda: state["now"])
    monkeypatch.setattr(running.time, "time", lambda: real)
    state["real"] = real
    return state


def dated(monkeypatch: pytest.MonkeyPatch, world: dict[str, Any], before_now: float) -> Service:
    monkeypatch.setattr(running, "changes", lambda name: iter([(name, world["real"] - before_now)]))
    return Service("a.service", ["/etc/a"])


def test_not_installed_and_not_running(world: dict[str, Any]) -> None:
    world["runs"] = False
    assert running.judge(Service("a.service")) == "a.service is not running"
    world["unit"] = Unit(False, 0, "", 0)
    assert running.judge(Service("a.service")) == "a.service is not installed"


@pytest.mark.parametrize(("before_now", "stale"), [
    (600, False),  # long before the start
    (500, False),  # in the same instant
    (500 - running.TICK / 2, False),  # within the tick that the kernel cut off: a restart always cures
    (500 - 3 * running.TICK, True),
    (1, True),
    (-60, False),  # from the future: no restart cures it
])
def test_files_against_the_start(monkeypatch: pytest.MonkeyPatch, world: dict[str, Any], before_now: float, stale: bool) -> None:
    service = dated(monkeypatch, world, before_now)
    assert ("before /etc/a was changed" in running.judge(service)) is stale


def test_a_file_changed_while_the_unit_started_counts(monkeypatch: pytest.MonkeyPatch, world: dict[str, Any]) -> None:
    """sendmail reads its files and forks then: the process is younger than what it has read."""
    service = dated(monkeypatch, world, 501)
    assert running.judge(service) == ""
    world["unit"] = Unit(True, 7, GROUP, int(498e6))
    assert "before /etc/a was changed" in running.judge(service)


@pytest.mark.parametrize(("started", "changed", "older"), [
    (500, 500.1, True), (500, 499.9, False), (500, 500 + running.TICK / 2, False),
    (500, 1000.1, False),  # from the future: no restart cures it
    (0, 500, False),  # systemd knows no start
])
def test_a_unit_is_older_than_a_link(monkeypatch: pytest.MonkeyPatch, world: dict[str, Any], started: float, changed: float, older: bool) -> None:
    world["unit"] = Unit(True, 0, GROUP, int(started * 1e6))
    monkeypatch.setattr(running.os, "lstat", lambda path: SimpleNamespace(st_ctime=world["real"] - 1000 + changed))
    assert running.older("a.service", "/live/a", None) is older


@pytest.mark.parametrize(("since", "boot", "stopped", "older"), [
    (500, "this", False, True), (501, "this", False, False), (501.5, "this", False, False),
    (500, "another", False, False),  # every unit was started since
    (500, "this", True, False), (0, "this", False, False),
])
def test_a_unit_is_older_than_what_we_changed_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch, world: dict[str, Any], tmp_path: Path, since: float,
                                                                      boot: str, stopped: bool, older: bool) -> None:
    """The clock was set back, or the machine slept."""
    (tmp_path / "boot_id").write_text("this\n")
    monkeypatch.setattr(running.clock, "BOOT_ID", str(tmp_path / "boot_id"))
    assert running.moment() == Moment("this", 1000.0)
    world["unit"] = Unit(True, 0, GROUP, int(since * 1e6), stopped=stopped)
    for changed in (world["real"] + 3600, world["real"] - 3600):  # in the future, and before what seems to be the start
        monkeypatch.setattr(running.os, "lstat", lambda path, changed=changed: SimpleNamespace(st_ctime=changed))
        assert running.older("a.service", "/live/a", Moment(boot, 501)) is older


def test_a_timer_has_no_process(monkeypatch: pytest.MonkeyPatch, world: dict[str, Any]) -> None:
    service = Service("a.timer", dated(monkeypatch, world, 501).files)
    world["runs"] = False
    world["unit"] = Unit(True, 0, "", int(498e6), active=False)
    assert running.judge(service) == "a.timer is not running"
    world["unit"] = Unit(True, 0, "", int(498e6), active=True)
    assert running.judge(service) == "a.timer started 1.00 s before /etc/a was changed"
    world["unit"] = Unit(True, 0, "", int(500e6), active=True)
    assert running.judge(service) == ""
    assert running.judge(Service("a.service")) == "a.service is not running"


def test_what_does_not_start_at_boot_differs(world: dict[str, Any], tmp_path: Path) -> None:
    world["unit"] = Unit(True, 7, GROUP, 0, boot=False)
    assert running.judge(Service("a.service")) == "a.service does not start at boot"
    for state, starts in (("enabled", True), ("static", True), ("", True), ("disabled", False), ("generated", False)):
        assert running.starts_at_boot("a.service", state, str(tmp_path)) is starts
    for name, starts in (("rc1.d/S01a", False), ("rc2.d/K01a", False), ("rc2.d/S01ab", False), ("rc2.d/S01a", True)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert running.starts_at_boot("a.service", "generated", str(tmp_path)) is starts


CERTIFICATE = "fullchain.pem"


def presenting(tmp_path: Path, required: bool = False) -> Service:
    return Service("a.service", [], [Endpoint("192.0.2.1", 25, "smtp", "g.pyon.example", str(tmp_path / CERTIFICATE), required)])


@pytest.mark.parametrize(("presented", "error", "reason"), [
    ([LEAF, ISSUER], "", ""),
    ([LEAF, ISSUER, ROOT], "", ""),
    ([LEAF], "", "g.pyon.example at 192.0.2.1 port 25 presents the leaf alone, without its intermediates"),
    ([OTHER, ISSUER], "", "presents another certificate (SHA-256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa)"),
    ([LEAF, OTHER], "", "presents the right leaf with another chain"),
    ([], "", "presents no certificate"),
    ([], "g.pyon.example at 192.0.2.1 port 25 does not offer STARTTLS", "does not offer STARTTLS"),
])
def test_what_is_presented(world: dict[str, Any], tmp_path: Path, presented: list[bytes], error: str, reason: str) -> None:
    assert world["runs"]
    (tmp_path / CERTIFICATE).write_text(pem(LEAF, ISSUER))
    said = running.judge(presenting(tmp_path), look=lambda *args: (presented, error))
    assert said.endswith(reason)
    assert bool(said) is bool(reason)


def test_a_certificate_that_is_not_there_yet(world: dict[str, Any], tmp_path: Path) -> None:
    assert world["runs"]

    def look(*args: Any) -> tuple[list[bytes], str]:
        raise AssertionError(args)

    assert running.judge(presenting(tmp_path), look=look) == ""
    with pytest.raises(DaneError, match="g.pyon.example, does not exist; issue it first"):
        running.judge(presenting(tmp_path, required=True), look=look)
    cut = pem(LEAF, ISSUER).replace(base64.b64encode(ISSUER).decode(), base64.b64encode(ISSUER).decode()[1:])
    for text, said in (("nothing", "holds no certificate in PEM"), (cut, "has a PEM block that is not base64"), (pem(LEAF) * 20000, "is larger than 1048576")):
        (tmp_path / CERTIFICATE).write_text(text)
        with pytest.raises(DaneError, match=f"{CERTIFICATE}.* {said}"):
            running.judge(presenting(tmp_path), look=lambda *args: ([LEAF], ""))


@pytest.mark.parametrize("family", ["ecdsa", "rsa"])
def test_of_a_pair_that_is_asked_for_which_is_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, family: str) -> None:
    """Also where the certificate on disk is not of the family that was wanted, as after a change of its algorithm."""
    asked: list[Any] = []

    def probe(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return tls_client.Presented("192.0.2.1", 25, "smtp", "g.pyon.example", (leaf.der,))

    leaf = issue("g.pyon.example", family=family)
    (tmp_path / CERTIFICATE).write_bytes(leaf.pem)
    monkeypatch.setattr(tls_client, "probe", probe)
    endpoint = Endpoint("192.0.2.1", 25, "smtp", "g.pyon.example", str(tmp_path / CERTIFICATE), pair=True)
    for pair in (True, False):
        assert running.probe(replace(endpoint, pair=pair), 3) == ([leaf.der], "")
    assert asked == [(("192.0.2.1", 25, "smtp", "g.pyon.example", 3), {"verify": False, "family": wanted}) for wanted in (family, "")]


def test_a_key_that_others_could_use_is_an_error_before_any_restart(world: dict[str, Any], tmp_path: Path) -> None:
    """sendmail would start without STARTTLS."""
    world["runs"] = False
    version = tmp_path / "version"
    version.mkdir(mode=0o755)
    (version / CERTIFICATE).write_text(pem(LEAF))
    (tmp_path / "live").symlink_to("version")
    key = version / "privkey.pem"
    endpoint = Endpoint("192.0.2.1", 25, "smtp", "g.pyon.example", str(tmp_path / "live" / CERTIFICATE), True,
                        str(tmp_path / "live" / "privkey.pem"))
    service = Service("a.service", [], [endpoint])
    with pytest.raises(DaneError, match="privkey.pem, the private key for g.pyon.example, does not exist"):
        running.judge(service)
    key.write_text("x")
    for mode in (0o640, 0o604):
        key.chmod(mode)
        with pytest.raises(DaneError, match=f"has mode {mode:04o} .* make it 0600"):
            running.judge(service)
    key.chmod(0o600)
    assert running.judge(service) == "a.service is not running"
    for mode in (0o775, 0o757):
        version.chmod(mode)
        with pytest.raises(DaneError, match=f"version has mode {mode:04o}, so others may replace"):
            running.judge(service)


# --- waiting, and the module


def test_waiting_ends_when_all_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ["a.service is not running", "a.service is not running", ""]
    clock = [100.0]
    monkeypatch.setattr(running, "judge", lambda service, timeout, look: reasons.pop(0))
    monkeypatch.setattr(running, "journal", lambda unit, lines: [f"{len(reasons)}"])
    monkeypatch.setattr(running.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(running.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    assert running.stale([Service("a.service")], wait=10, lines=5) == []
    assert clock[0] == 102.0


def test_waiting_ends_in_time_with_the_first_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(running, "judge", lambda service, timeout, look: "a.service is not running")
    monkeypatch.setattr(running, "journal", lambda unit, lines: [f"{unit} at {clock[0]:g}"])
    monkeypatch.setattr(running.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(running.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    found = running.stale([Service("a.service")], wait=3, lines=5)
    assert found == [Finding("a.service", "a.service is not running", ["a.service at 100"])]
    assert clock[0] == 103.0


def run_module(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any]) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        running_service.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("check", [True, False])
def test_the_module_reports_a_change(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool) -> None:
    monkeypatch.setattr(running_service, "stale", lambda services, **options: [Finding(services[0].unit, "why", ["line"])])
    arguments = {"services": [{"unit": "a.service"}], "_ansible_check_mode": check}
    result = run_module(capsys, arguments)
    assert result["changed"] is True
    assert result["stale"] == [{"unit": "a.service", "reason": "why", "journal": ["line"]}]
    result = run_module(capsys, {**arguments, "fail": True})
    assert result["failed"] is True
    assert result["msg"] == "why\n  line"


@pytest.mark.parametrize("check", [True, False])
def test_check_mode_requires_no_certificate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool) -> None:
    seen: list[bool] = []

    def stale(services: list[Service], **options: Any) -> list[Finding]:
        del options
        seen.append(services[0].presents[0].required)
        return []

    monkeypatch.setattr(running_service, "stale", stale)
    port = {"address": "192.0.2.1", "port": 25, "service": "smtp", "name": "g", "certificate": "/absent", "required": True}
    run_module(capsys, {"services": [{"unit": "a.service", "presents": [port]}], "_ansible_check_mode": check})
    assert seen == [not check]


def test_the_module_reports_no_change(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(running_service, "stale", lambda services, **options: [])
    result = run_module(capsys, {"services": [{"unit": "a.service"}], "fail": True})
    assert result["changed"] is False
    assert result["stale"] == []


def test_the_module_says_an_error_in_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(services: list[Service], **options: Any) -> list[Finding]:
        del services, options
        raise DaneError("/a is a loop of symbolic links; remove it")

    monkeypatch.setattr(running_service, "stale", broken)
    assert run_module(capsys, {"services": []})["msg"] == "/a is a loop of symbolic links; remove it"
