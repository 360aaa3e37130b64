# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the primary: merged under a lock, read strictly, never poorer than it was."""
from __future__ import annotations

import copy
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.selfhost.dane.plugins.module_utils import records
from ansible_collections.selfhost.dane.plugins.module_utils.errors import DaneError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
OWNER = "_25._tcp.g.pyon.example."
ZONES = [{"name": "pyon.example", "tlsa_ttl": 3600, "tlsa_owners": [
    {"owner": OWNER, "backends": [{"host": "vps", "certificate": "g", "service": "smtp", "port": 25}]}]}]


def report(host: str = "vps", keys: tuple[str, ...] = (A, B), presents: str = A) -> dict[str, Any]:
    return {"schema": 1, "host": host, "time": 5, "timers": {"renew": True}, "certificates": [{
        "name": "g", "keys": [{"spki": key, "created": 10 + n, "algorithm": "ecdsa-p256"} for n, key in enumerate(keys)],
        "live": {"fingerprint": C, "spki": keys[0], "not_after": 99},
        "endpoints": [{"service": "smtp", "port": 25, "name": "g", "address": "198.51.100.10", "spki": presents,
                       "fingerprint": C, "error": ""}]}]}


def update(path: Path, reports: list[dict[str, Any]], zones: Any = None, forget: tuple[str, ...] = (), now: int = 7,
           write: bool = True) -> Any:
    return records.update(str(path), "vps", ZONES if zones is None else zones, reports, list(forget), now, write)


def test_published_once_then_unchanged_then_kept_without_a_report(tmp_path: Path) -> None:
    path = tmp_path / "state" / "record.json"
    _before, first, _plans = update(path, [report()])
    assert first["zones"]["pyon.example"][OWNER] == {"records": [f"3 1 1 {A}", f"3 1 1 {B}"], "ttl": 3600, "since": 7}
    before, again, _plans = update(path, [{**report(), "time": 500}], now=100)
    assert before == again == first
    before, silent, _plans = update(path, [], now=200)
    assert before == silent
    assert path.stat().st_mode & 0o777 == 0o600


def test_check_mode_writes_nothing_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state" / "record.json"
    _before, dry, _plans = update(path, [report()], write=False)
    assert not path.parent.exists()
    assert update(path, [report()])[1] == dry


def test_a_changed_ttl_is_published_and_dated(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    shorter = copy.deepcopy(ZONES)
    shorter[0]["tlsa_ttl"] = 10
    after = update(path, [], shorter, now=50)[1]
    assert after["zones"]["pyon.example"][OWNER]["ttl"] == 10 and after["zones"]["pyon.example"][OWNER]["since"] == 50
    assert after["generation"] == 2


def test_an_owner_that_left_the_model_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    update(path, [report()])
    empty = [{**ZONES[0], "tlsa_owners": []}]
    _before, after, plans = update(path, [], empty)
    assert OWNER in after["zones"]["pyon.example"] and "dane_forget" in plans["pyon.example"][OWNER].reason
    assert OWNER not in update(path, [], empty, forget=(OWNER,))[1]["zones"]["pyon.example"]


@pytest.mark.parametrize(("text", "said"), [
    (b"", "is cut or damaged"),
    (b'{"schema": 1, "host": "vps"', "is cut or damaged"),
    (b'{"schema": 1, "host": "vps"}', "is cut or damaged"),
    (b"[]", "is cut or damaged"),
    (b'{"schema": 2, "host": "vps", "generation": 1, "zones": {}, "reports": {}}', "has schema 2"),
    (b'{"schema": 1, "host": "mx2", "generation": 1, "zones": {}, "reports": {}}', "belongs to the host 'mx2'"),
])
def test_a_bad_record_is_named_and_left_alone(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text)
    with pytest.raises(DaneError, match=said):
        update(path, [report()])
    assert path.read_bytes() == text


def test_a_report_with_something_else_than_a_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DaneError, match="report of vps"):
        update(tmp_path / "record.json", [report(presents="a\n$INCLUDE /etc/shadow")])
    assert not (tmp_path / "record.json").exists()


def _merge(path: str, number: int) -> None:
    zone = f"z{number}.example"
    zones = [{"name": zone, "tlsa_ttl": 5, "tlsa_owners": [{"owner": f"_25._tcp.{zone}.", "backends": ZONES[0]["tlsa_owners"][0]["backends"]}]}]
    records.update(path, "vps", zones, [report()], [], 7, True)


def test_two_controllers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.starmap(_merge, [(path, number) for number in range(24)])
    assert len(json.loads(Path(path).read_text())["zones"]) == 24
