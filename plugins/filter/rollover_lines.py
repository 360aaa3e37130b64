# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for people: where each key is on its way, what holds it back, and what comes when."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils.progress import PHASES, SHOWN


def rollover_lines(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of text: for each certificate of each host its phase, the reason, what holds it back, when it goes on, and when its certificate ends."""
    try:
        lines = []
        for step in steps:
            when = ""
            if step["not_before"] is not None:
                word = "until" if step["step"] == "rest" else "goes on at the latest"
                when = time.strftime(f", {word} %Y-%m-%d %H:%M:%S UTC", time.gmtime(step["not_before"]))
            if step["deadline"] is not None:
                when += time.strftime(", its certificate ends %Y-%m-%d %H:%M:%S UTC", time.gmtime(step["deadline"]))
            lines.append(f"{step['host']}, {step['certificate']}: {PHASES[step['step']]}: {step['reason']}{when}")
            lines += [f"  held back: {text}" for text in step["held_by"][:SHOWN]]
            if len(step["held_by"]) > SHOWN:
                lines.append(f"  and {len(step['held_by']) - SHOWN} more")
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"rollover_lines takes the steps that selfhost.dane.tlsa_rrsets returned: {error!r}") from error
    return lines


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollover_lines": rollover_lines}
