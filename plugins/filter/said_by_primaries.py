# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What primaries say of the certificates in their zones."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils.primaries import said


def said_by_primaries(primaries: Iterable[Mapping[str, Any]], variable: str, key: str) -> list[Mapping[str, Any]]:
    """What is in the result `variable` of each primary as `key`, without what is of a certificate that is not behind its zones."""
    try:
        return [one for primary in primaries for one in said(primary, variable, key)]
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"said_by_primaries takes the variables of primaries, and two names: {error!r}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"said_by_primaries": said_by_primaries}
