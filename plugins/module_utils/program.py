# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's program: this library as a package, whole in one version, and the launcher that starts it."""
from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from . import file_tree, text_files

PACKAGE = "selfhost_dane"
LICENCE = "# SPDX-FileCopyrightText: 2026 The selfhost.dane authors\n# SPDX-License-Identifier: GPL-3.0-or-later\n"
LAUNCHER = """#!/usr/bin/python3
{licence}# Installed by the collection selfhost.dane.
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.realpath({library!r}))  # all from one version, also where another one is installed meanwhile
from selfhost_dane.cli import main

sys.exit(main())
"""


def read_library(source: str) -> file_tree.Tree:
    """The package, of the Python files in the directory `source`."""
    names = sorted(name for name in os.listdir(source) if name.endswith(".py") and name != "__init__.py")
    tree = {f"{PACKAGE}/{name}": file for name, file in file_tree.read_tree(source, names).items()}
    return {f"{PACKAGE}/__init__.py": file_tree.File(LICENCE.encode()), **tree}


def install(directory: str, program: str, wanted: Mapping[str, str], tree: file_tree.Tree | None, check: bool = False) -> dict[str, Any]:
    """Have `program` start the package that the manifest `wanted` describes; returns `changed`, `paths` and, with `tree`, `diff`.

    Each version lies in a directory of its own in `directory`, and the link `current` there is switched by one rename.  Without `tree`, or with
    `check`, nothing is written.
    """
    library, plain = os.path.join(directory, "current"), os.path.join(directory, PACKAGE)
    launcher = [{"path": program, "mode": "0755", "content": LAUNCHER.format(licence=LICENCE, library=library)}]
    old = os.listdir(plain) if os.path.isdir(plain) else None  # of a launcher that knew no versions
    names, started = file_tree.install(library, wanted, False, tree, check=True)["paths"], text_files.apply(launcher, check=True)
    paths = [*(os.path.join(library, name) for name in names), *started["paths"], *([plain] if old is not None else [])]
    diffs = []
    if tree is not None:
        diffs += [_diff(os.path.join(library, name), _text(os.path.join(library, name)), tree[name].data.decode() if name in tree else "") for name in names]
        diffs += [*started["diff"], *([_diff(plain, "".join(f"{name}\n" for name in sorted(old)), "")] if old is not None else [])]
        if not check:
            file_tree.install(library, wanted, False, tree)
            text_files.apply(launcher)
            if old is not None:
                shutil.rmtree(plain)
    return {"changed": bool(paths), "paths": paths, "diff": diffs}


def _text(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _diff(path: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}
