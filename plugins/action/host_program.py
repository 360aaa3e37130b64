# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action host_program: reads the library on the controller, and sends it only where the host's program differs."""
from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.errors import DaneError
from ..module_utils.program import read_library
from ..plugin_utils.trees import bring

LIBRARY = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "module_utils")


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the module's documentation."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("directory", "program"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare, and then install what differs; what a diff shows is known where the files are."""
        super().run(tmp, task_vars)
        try:
            tree = read_library(LIBRARY)
        except DaneError as error:
            raise AnsibleActionFail(str(error)) from error
        return bring(tree, lambda more: dict(self._execute_module(module_name="selfhost.dane.host_program", module_args={**self._task.args, **more},
                                                                  task_vars=task_vars)), not self._task.check_mode or self._task.diff)
