# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that a person is meant to read, and what makes foreign text fit to be read."""
from __future__ import annotations


class DaneError(Exception):
    """One clear sentence: the zone, name or file it is about, what is wrong with it, and the cure."""


def printable(text: object, limit: int = 200) -> str:
    """What somebody else sent, fit for a terminal: printable ASCII on one line, at most `limit` characters."""
    shown = "".join(character if " " <= character <= "~" else "?" for character in str(text)[:limit + 1])
    return shown if len(shown) <= limit else shown[:max(limit - 3, 0)] + "..."
