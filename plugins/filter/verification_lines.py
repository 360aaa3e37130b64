# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of verification_info as a table for people."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

MARKS = {True: "ok", False: "RED", None: "--"}


def _place(row: Mapping[str, Any]) -> str:
    address, port = str(row["address"]), row["port"]
    if not address:
        return f"port {port}" if port else ""
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _table(rows: Sequence[Mapping[str, Any]], subject: Callable[[Mapping[str, Any]], str], commands: bool) -> list[str]:
    """Aligned columns; the command under each row, or only under those that are not good."""
    lines = []
    widths = [max((len(text(row)) for row in rows), default=0) for text in (subject, lambda row: str(row["name"]), _place)]
    for row in rows:
        columns = [subject(row).ljust(widths[0]), str(row["name"]).ljust(widths[1]), _place(row).ljust(widths[2])]
        lines.append(f"  {MARKS[row['ok']]:<3}  {'  '.join(columns)}  {row['detail']}".rstrip())
        if row["cure"] and row["ok"] is not True and not row["school"]:  # of a peer it is in the parts
            lines.append(f"         cure: {row['cure']}")
        if row["command"] and (commands or row["ok"] is not True):
            lines.append(f"         next: {row['command']}")
    return lines


def verification_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of text: for each zone its parts, and then which peers can connect."""
    try:
        found = [dict(row) for row in rows]
        lines = []
        for zone in dict.fromkeys(str(row["zone"]) for row in found):
            of_zone = [row for row in found if row["zone"] == zone]
            parts = [row for row in of_zone if not row["school"]]
            peers = [row for row in of_zone if row["school"]]
            lines.append(f"Zone {zone}" if zone else "Here")
            lines += _table(parts, lambda row: str(row["what"]), False)
            if peers:
                lines.append(f"Zone {zone}: who can connect")
                lines += _table(peers, lambda row: str(row["school"]), True)
        totals = {mark: sum(1 for row in found if row["ok"] is mark) for mark in MARKS}
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"verification_lines takes the rows of selfhost.dane.verification_info: {error}") from error
    lines.append(f"{totals[True]} ok, {totals[False]} RED, {totals[None]} awaited or not to be judged from here (--)")
    return lines


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"verification_lines": verification_lines}
