# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action host_program: reads the library on the controller and installs it as the host's program."""
from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase

LIBRARY = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "module_utils")
LICENCE = "# SPDX-FileCopyrightText: 2026 The selfhost.dane authors\n# SPDX-License-Identifier: GPL-3.0-or-later\n"
LAUNCHER = """#!/usr/bin/python3
{licence}# Installed by the collection selfhost.dane.
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, {directory!r})
from selfhost_dane.cli import main

sys.exit(main())
"""


def program_files(directory: str, program: str) -> list[dict[str, Any]]:
    """The entries for text_files: the package `selfhost_dane` in `directory`, and last the launcher `program`."""
    package = os.path.join(directory, "selfhost_dane")
    files = [{"path": os.path.join(package, "__init__.py"), "content": LICENCE}]
    for name in sorted(os.listdir(LIBRARY)):
        if name.endswith(".py") and name != "__init__.py":
            with open(os.path.join(LIBRARY, name), encoding="utf-8") as stream:
                files.append({"path": os.path.join(package, name), "content": stream.read()})
    return [*files, {"path": program, "mode": "0755", "content": LAUNCHER.format(licence=LICENCE, directory=directory)}]


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the module's documentation."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("directory", "program"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Install the program with text_files."""
        super().run(tmp, task_vars)
        directory = self._task.args.get("directory", "/usr/local/lib/selfhost-dane")
        files = program_files(str(directory), str(self._task.args.get("program", "/usr/local/sbin/selfhost-dane")))
        result: dict[str, Any] = self._execute_module(
            module_name="selfhost.dane.text_files", task_vars=task_vars,
            module_args={"files": files, "purge": [os.path.join(str(directory), "selfhost_dane")]})
        result.pop("invocation", None)  # would repeat all the text
        return result
