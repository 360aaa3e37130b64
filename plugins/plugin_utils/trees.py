# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the actions bring files of the controller to a host."""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ..module_utils.file_tree import Tree, manifest, pack


def bring(tree: Tree, execute: Callable[[dict[str, str]], dict[str, Any]], wanted: bool) -> dict[str, Any]:
    """Have a module compare what a host has with `tree`, and send it that only where it differs and is `wanted`.

    execute: runs the module with more arguments, those of file_tree's own.
    """
    arguments = {"manifest": json.dumps(manifest(tree))}
    result = execute(arguments)
    if wanted and result.get("changed") and not result.get("failed"):
        result = execute({**arguments, "archive": pack(tree)})
    result.pop("invocation", None)  # would repeat all of it
    return result
