# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action file_tree: reads the files on the controller, and sends them only where the host's copy differs."""
from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils.errors import DaneError
from ..module_utils.file_tree import read_tree
from ..plugin_utils.trees import bring


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the module's documentation."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("source", "files", "optional", "destination", "private"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, and then install what differs."""
        super().run(tmp, task_vars)
        options = self._task.args
        lists = [options.get(key) or [] for key in ("files", "optional")]
        if not options.get("source") or not options.get("destination") or not all(isinstance(one, list) for one in lists):
            raise AnsibleActionFail("file_tree needs source and destination, and files and optional as lists")
        try:
            tree = read_tree(str(options["source"]), *([str(path) for path in one] for one in lists))
        except DaneError as error:
            raise AnsibleActionFail(str(error)) from error
        arguments = {"destination": options["destination"], "private": boolean(options.get("private", False))}
        return bring(tree, lambda more: dict(self._execute_module(module_name="selfhost.dane.file_tree", module_args={**arguments, **more},
                                                                  task_vars=task_vars)), not self._task.check_mode)
