# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys on their way, for people: times in words, lines of text, and when to look again.  Pure: no input or output, no clock.

`steps` are those that tlsa_rrsets returned, `reports` those of tls_certificates, in the shapes of docs/architecture.md; all times
are unix seconds, all durations seconds.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from .errors import printable

PHASES = {"rest": "in order", "wait": "waits", "publish": "publishes", "withdraw": "withdraws its TLSA records", "make_key": "makes its next key",
          "order": "orders its next certificate",
          "deploy": "goes over to its next certificate", "delete_key": "deletes a key that it has done with"}
SHOWN = 6           # of what holds a key back
LEAST = 5           # seconds between two looks where nothing has changed
MOST = 3 * 3600     # seconds between two looks, however long the wait
SOON = 60           # seconds between two looks where nobody knows how long it takes
PATIENCE = 5        # such looks in a row, after which it is left to the operator
MOST_FAILURES = 5   # of one step, likewise; the host makes longer and longer pauses between them
_RANK = ("rest", "delete_key", "deploy", "order", "make_key", "publish", "withdraw", "wait")
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))

Json = Mapping[str, Any]
Place = tuple[str, str]  # host, certificate


# --- times in words ---

def span(seconds: int) -> str:
    """A duration in the largest unit of which it has two: 90 seconds, 25 hours, 3 days."""
    size, name = next((unit for unit in _UNITS if seconds >= 2 * unit[0]), _UNITS[-1])
    number = round(max(0, seconds) / size)
    return f"{number} {name}{'' if number == 1 else 's'}"


def date(moment: int, now: int) -> str:
    """As in: Sun 29 Nov 14:00 UTC; with the year where it is far away.  In English whatever the locale."""
    text = formatdate(moment)  # Sun, 29 Nov 2026 14:00:00 -0000
    return f"{text[:3]} {text[5:16] if abs(moment - now) > 300 * 86400 else text[5:11]} {text[17:22]} UTC"


def when(moment: int, now: int) -> str:
    """As in: in 3 days (Sun 29 Nov 14:00 UTC)."""
    return f"{f'in {span(moment - now)}' if moment >= now else f'{span(now - moment)} ago'} ({date(moment, now)})"


# --- the steps of all primaries ---

def combined(steps: Iterable[Json]) -> dict[Place, Json]:
    """One step for each (host, certificate).  Where its names lie in zones of several primaries the one that is to wait longest counts."""
    found: dict[Place, Json] = {}
    for step in steps:
        place = (str(step["host"]), str(step["certificate"]))
        if place not in found or _weight(step) > _weight(found[place]):
            found[place] = step
    return dict(sorted(found.items()))


def _weight(step: Json) -> tuple[int, bool, int]:
    return _RANK.index(step["step"]), step["step"] == "wait" and step["not_before"] is None, step["not_before"] or 0


def _certificates(reports: Iterable[Json]) -> dict[Place, Json]:
    return {(str(report["host"]), str(one["name"])): one for report in reports for one in report["certificates"]}


def line(step: Json, now: int) -> str:
    """Phase, reason, what holds it back and when it goes on, in one line."""
    held = [printable(str(text), 200) for text in step["held_by"]]
    text = f"{step['host']}, {step['certificate']}: {PHASES[step['step']]}: {step['reason']}"
    if held:
        text += f"; held back: {held[0]}" + (f" and {len(held) - 1} more" if held[1:] else "")
    if step["not_before"] is not None:
        text += f"; {'until' if step['step'] == 'rest' else 'goes on at the latest'} {when(step['not_before'], now)}"
    if step["deadline"] is not None:
        text += f"; its certificate ends {when(step['deadline'], now)}"
    return text


# --- waiting ---

@dataclass(frozen=True)
class Outlook:
    """What a run that waits does next.

    lines: what has changed since the look before.  pause: seconds until the next look.  more: whether there is one.  stuck: the keys that
    something else than time holds back, in sentences.  memory: for the next look.
    """

    lines: list[str]
    pause: int
    more: bool
    stuck: list[str]
    memory: dict[str, Any] = field(default_factory=dict)


def outlook(steps: Iterable[Json], reports: Iterable[Json], fall_back: int, now: int, memory: Json) -> Outlook:
    """When to look again, once the `steps` of a round were taken and the hosts have reported after that.

    A key has arrived where its certificate rests, or where the key that was to go live did: what follows may be the next roll.
    memory: of the look before; empty at the first.
    """
    planned, told = combined(steps), _certificates(reports)
    before: Json = memory.get("steps", {})
    for text in before:  # of a primary that is not heard from any more
        host, _space, certificate = text.partition(" ")
        planned.setdefault((host, certificate), {"host": host, "certificate": certificate, "step": "wait", "spki": "", "fingerprint": "", "held_by": [],
                                                 "reason": "the primary of its zone was not reached, or failed", "not_before": None, "deadline": None})
    deployed = dict(memory.get("deployed", {}))
    lines: list[str] = []
    pauses: list[int] = []
    stuck: list[str] = []
    known: dict[str, list[str]] = {}
    moving = waiting = False
    for place, step in planned.items():
        name = " ".join(place)
        known[name] = [step["step"], step["spki"], step["fingerprint"], step["reason"]]
        changed = before.get(name) != known[name]
        if changed:
            lines.append(line(step, now))
        live = (told.get(place, {}).get("live") or {}).get("spki")
        # a wait that is for no key is not that of the next roll: what is left of this one, as a record to withdraw, is held back
        if step["step"] == "rest" or (step["step"] in ("wait", "order", "deploy") and live and deployed.get(name) == live and step["spki"] not in ("", live)):
            continue
        if step["step"] == "deploy":
            deployed[name] = step["spki"]
        until = _until(step, told.get(place))
        if changed and step["step"] != "wait":
            moving = True
        elif until is not None:
            waiting = True
            pauses.append(max(LEAST, until - now))
        else:
            pauses.append(SOON)
            stuck.append(_stuck(step, told.get(place), now))
    same = before == known and not moving and not waiting
    quiet = int(memory.get("quiet", 0)) + 1 if same else 0
    pause = 1 if moving else min([max(LEAST, min(fall_back // 10, MOST)), *pauses])
    return Outlook(lines, pause, moving or waiting or (bool(stuck) and quiet < PATIENCE), stuck, {"steps": known, "deployed": deployed, "quiet": quiet})


def _until(step: Json, certificate: Json | None) -> int | None:
    """The time at which the step goes on by itself; None where that is not known."""
    if step["step"] == "wait":
        return None if step["not_before"] is None else int(step["not_before"])
    attempts = _attempts(step, certificate)
    return None if attempts is None or attempts["failures"] >= MOST_FAILURES else int(attempts["next_attempt"])


def _attempts(step: Json, certificate: Json | None) -> Json | None:
    """What the host says of its attempts at this step; None where it has not failed."""
    roll: Json | None = (certificate or {}).get("roll")
    return roll if roll and roll["spki"] == step["spki"] else None


def _stuck(step: Json, certificate: Json | None, now: int) -> str:
    attempts = (certificate or {}).get("roll")
    return line(step, now) + (f"; {_failed(attempts)}" if attempts else "")


def _failed(attempts: Json) -> str:
    number = attempts["failures"]
    return f"{number} attempt{'' if number == 1 else 's'} failed, the last with: {printable(str(attempts['error']), 300)}"


def _again(attempts: Json, now: int) -> str:
    return f"the next one is not before {when(attempts['next_attempt'], now)}"


# --- failures ---

def failures(steps: Iterable[Json], reports: Iterable[Json], host: str, now: int) -> list[str]:
    """What was to be done on `host` in this run and was not, because it failed now or an hour ago, or one of its primaries was not told: a sentence for each.

    Where there are several primaries each of `steps` has the name of its own as `primary`.
    """
    steps = list(steps)
    planned = combined(steps)
    lines = _untold(steps, host)
    for (where, certificate), told in _certificates(reports).items():
        if where != host:
            continue
        if told["due"] and told["error"]:
            lines.append(f"{certificate} was not renewed: {_failed(told)}; {_again(told, now)}")
        step = planned.get((where, certificate))
        if step and step["step"] == "withdraw":
            lines.append(line(step, now))
        rolling = _attempts(step, told) if step and step["step"] in ("order", "deploy") else None
        if rolling and rolling["error"]:
            lines.append(f"{certificate} does not go over to another key: {_failed(rolling)}; {_again(rolling, now)}, or with -e dane_wait=true")
    return lines


def _untold(steps: Iterable[Json], host: str) -> list[str]:
    """Where a primary follows a wish of the operator that another one, which would have to plan the same, was not told.

    For other reasons two may differ for a while, as their clocks and caches do.
    """
    found: dict[str, list[Json]] = {}
    for step in steps:
        if step["host"] == host:
            found.setdefault(str(step["certificate"]), []).append(step)
    lines: list[str] = []
    for certificate, mine in sorted(found.items()):
        burnt = {key for step in mine for key in step["ordered"]["burnt"]}
        asked = {step["ordered"]["asked"] for step in mine} - {""}
        for order, untold, what, cure in (
                ("burnt", [step for step in mine if not burnt <= {*step["ordered"]["compromised"]}], "others may have a key of it",
                 "dane_compromised=<SHA-256 of the key>"),
                ("asked", [step for step in mine if not step["ordered"]["asked"] and step["ordered"]["live"] in asked], "another one is asked for",
                 f"dane_roll={certificate}")):
            if untold:
                told = [step for step in mine if step["ordered"][order]]
                names = [", ".join(str(step["primary"]) for step in some) for some in (told, untold)]
                lines.append(f"{certificate} of {host} does not go over to another key: {names[0]} knows that {what}, and {names[1]}, in whose zones it has"
                             f" names too, was not told; give -e {cure} again while all primaries can be reached")
    return lines


# --- status ---

def status(planned: Iterable[Json], reports: Iterable[Json], now: int) -> list[str]:
    """A few lines for each certificate of each host, then what is wrong with name servers.

    planned: what tlsa_rrsets returned on each primary that was reached.
    """
    plans = list(planned)
    told = _certificates(reports)
    lines: list[str] = []
    zones = [zone for one in plans for zone in one["zones"]]
    for place, step in combined(step for one in plans for step in one["steps"]).items():
        host, certificate = place
        lines += [f"{certificate} on {host}: {PHASES[step['step']]}", f"  why      {step['reason']}"]
        held = [printable(str(text), 200) for text in step["held_by"]]
        lines += [f"  {'held by' if number == 0 else '':<8} {text}" for number, text in enumerate(held[:SHOWN])]
        lines += [f"           and {len(held) - SHOWN} more"] if held[SHOWN:] else []
        lines.append(f"  next     {_next(step, now)}")
        owners = {owner["owner"] for zone in zones for owner in zone["tlsa_owners"] for entry in owner["backends"]
                  if (entry["host"], entry["certificate"]) == place}
        records = {rrset["owner"]: rrset for zone in zones for rrset in zone["tlsa"] if rrset["owner"] in owners}
        published = {text for rrset in records.values() for text in rrset["records"]}
        lines += _of_host(told.get(place), published, now)
        lines += [f"  {'records' if number == 0 else '':<8} {owner} {records[owner]['ttl']} TLSA {_short(records[owner]['records'])}"
                  if owner in records else f"  {'records' if number == 0 else '':<8} {owner} has none"
                  for number, owner in enumerate(sorted(owners))]
    wrong = [printable(str(text), 200) for one in plans for text in one["seen"]]
    if plans:
        lines.append("Name servers: " + ("; ".join([*wrong[:SHOWN], *([f"and {len(wrong) - SHOWN} more"] if wrong[SHOWN:] else [])]) if wrong else
                                         "all addresses serve what the primary publishes, or are awaited above"))
    return lines


def _next(step: Json, now: int) -> str:
    if step["step"] == "wait":
        return ("it goes on when that is mended, and renew.yml runs" if step["not_before"] is None else
                f"it goes over to its next certificate, at the latest {when(step['not_before'], now)}")
    if step["step"] == "rest":
        return "nothing" if step["not_before"] is None else f"it goes on {when(step['not_before'], now)}"
    return f"it {PHASES[step['step']]}, when renew.yml runs"


def _of_host(told: Json | None, published: set[str], now: int) -> list[str]:
    """Keys and certificate, as the host reports them."""
    if told is None:
        return ["  keys     not known: the host was not reached, or failed"]
    live = told["live"] or {"spki": "", "since": 0, "not_after": 0}
    lines: list[str] = []
    following = False
    for key in told["keys"]:
        if key["spki"] == live["spki"]:
            role, age, following = "live", f"for {span(now - live['since'])}", True
        else:
            role, age = ("next" if following else "old"), f"made {span(now - key['created'])} ago"
        certificates = {one["fingerprint"] for one in (key.get("certificate"), live if role == "live" else None) if one and one.get("fingerprint")}
        here = ("published" if f"3 1 1 {key['spki']}" in published else
                "its certificate published" if any(f"3 0 1 {fingerprint}" in published for fingerprint in certificates) else "not published")
        lines.append(f"  {'' if lines else 'keys':<8} {role:<4} {key['spki'][:16]}... {age}, {here}")
    if told["live"]:
        lines.append(f"  expires  the certificate, {when(live['not_after'], now)}" + (f"; due: {told['due']}" if told["due"] else ""))
    else:
        lines.append("  expires  no certificate is live")
    for attempts in (told, told["roll"] or {"error": ""}):
        if attempts["error"]:
            lines.append(f"  failed   {attempts['failures']} times, last: {printable(str(attempts['error']), 300)};"
                         f" again {when(attempts['next_attempt'], now)}")
    lines += [f"  wrong    {printable(str(seen['error']), 200)}" for seen in told["endpoints"] if seen["error"]]
    return lines


def _short(records: Iterable[str]) -> str:
    return ", ".join(f"{text[:14]}.." for text in records)
