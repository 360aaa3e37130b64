# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run that waits for keys to arrive looks again."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import progress


def rollover_outlook(steps: Iterable[Mapping[str, Any]], reports: Iterable[Mapping[str, Any]], fall_back: int, now: int,
                     memory: Mapping[str, Any]) -> dict[str, Any]:
    """What has changed since the look before, and whether and when to look again."""
    try:
        return asdict(progress.outlook(steps, reports, int(fall_back), int(now), memory))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError("rollover_outlook takes the steps that selfhost.dane.tlsa_rrsets returned and the reports of"
                                 f" selfhost.dane.tls_certificates: {error!r}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollover_outlook": rollover_outlook}
