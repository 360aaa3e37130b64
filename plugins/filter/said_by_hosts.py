# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each host says of itself."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def said_by_hosts(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], variable: str, key: str = "host") -> list[dict[str, Any]]:
    """The `variable` of each of `hosts` that has it, a mapping or a list with one, under the name of that host as `key`, whatever it says that it is."""
    found = []
    try:
        for host in hosts:
            value = hostvars[host][variable] if variable in hostvars[host] else None
            one = value[0] if isinstance(value, list) and value else value
            if one and isinstance(one, Mapping):
                found.append({**one, key: str(host)})
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"said_by_hosts takes the names of hosts, hostvars and the name of a variable: {error!r}") from error
    return found


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"said_by_hosts": said_by_hosts}
