# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host was to do and did not."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import progress


def rollover_failures(steps: Iterable[Mapping[str, Any]], reports: Iterable[Mapping[str, Any]], host: str, now: int) -> list[str]:
    """What was to be done on `host` and was not, because it failed."""
    try:
        return progress.failures(steps, reports, str(host), int(now))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError("rollover_failures takes the steps that selfhost.dane.tlsa_rrsets returned and the reports of"
                                 f" selfhost.dane.tls_certificates: {error!r}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rollover_failures": rollover_failures}
