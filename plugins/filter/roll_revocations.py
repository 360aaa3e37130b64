# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be revoked at the CA once other keys are live, and with which commands."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import emergency

Json = Mapping[str, Any]


def roll_revocations(before: Iterable[Json], after: Iterable[Json], meant: Json) -> list[str]:
    """Lines of text: a command of root for each certificate that was good for a compromised key."""
    try:
        places = [(str(host), str(certificate)) for host, certificate in meant["places"]]
        return emergency.revocations(places, meant["wishes"]["compromised"], before, after)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError("roll_revocations takes reports of selfhost.dane.tls_certificates and what selfhost.dane.roll_order"
                                 f" returned: {error!r}") from error


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"roll_revocations": roll_revocations}
