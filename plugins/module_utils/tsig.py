# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TSIG keys (RFC 8945) for NSD, each in a file of its own that nsd.conf includes."""
from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from . import zone
from .errors import DaneError
from .files import make_directory, read_file, write_file

ALGORITHM = "hmac-sha256"
_SECRET = re.compile(r'^\s*secret:\s*"([^"]*)"', re.MULTILINE)


def ensure(keys: Sequence[Mapping[str, Any]], directory: str, check: bool = False) -> dict[str, Any]:
    """Bring `keys` about in `directory` (0700): each has `name`, and `secret` (base64) or `generate`, or neither.

    One that is neither given nor generated stays as it is: a secondary keeps the key of a primary that is down.
    Returns `changed` and `keys` with name, path, present, and the secret of those with `generate`.
    """
    result: list[dict[str, Any]] = []
    changed = False
    for key in keys:
        name = zone.absolute(key.get("name"), "the TSIG key name")[:-1]
        path = os.path.join(directory, f"{name}.conf")
        had = _read(path, name)
        secret = key.get("secret") or had
        if key.get("generate"):
            secret = had or base64.b64encode(secrets.token_bytes(32)).decode()
        if secret:
            _judge(secret, name)
            data = f'key:\n    name: "{name}"\n    algorithm: {ALGORITHM}\n    secret: "{secret}"\n'.encode()
            if had is None or read_file(path, "the TSIG key") != data or os.stat(path).st_mode & 0o7777 != 0o600:
                changed = True
                if not check:
                    make_directory(directory, 0o700)
                    write_file(path, data, 0o600)
        entry = {"name": name, "path": path, "present": secret is not None}
        result.append({**entry, "secret": secret} if key.get("generate") else entry)
    return {"changed": changed, "keys": result}


def _read(path: str, name: str) -> str | None:
    if not os.path.exists(path):
        return None
    found = _SECRET.search(read_file(path, f"the TSIG key {name}").decode("ascii", "replace"))
    return found[1] if found else None


def _judge(secret: object, name: str) -> None:
    try:
        if isinstance(secret, str) and len(base64.b64decode(secret, validate=True)) >= 16:
            return
    except (binascii.Error, ValueError):
        pass
    raise DaneError(f"the secret of the TSIG key {name} is not base64 of 16 octets or more; remove its file on the primary to have it made again")
