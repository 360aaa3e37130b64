# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What filters read in the variables of primaries."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def certificates_behind(primary: Mapping[str, Any], host: str) -> set[str]:
    """The certificates of `host` that answer for a TLSA owner in the zones of `primary`.  KeyError or TypeError where these are no such variables."""
    return {entry["certificate"] for zone in primary["ansible_facts"]["dane"]["primary_zones"] for owner in zone["tlsa_owners"]
            for entry in owner["backends"] if entry["host"] == host}
