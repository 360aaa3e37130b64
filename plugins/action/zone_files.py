# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action zone_files: judges the zones and renders the role's templates of all of them in one task."""
from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ..module_utils.errors import DaneError
from ..module_utils.zone import INCLUDES, checked


class ActionModule(ActionBase):  # type: ignore[misc]
    """See the module's documentation."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("zones", "directory"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render on the controller, write with text_files."""
        super().run(tmp, task_vars)
        directory = str(self._task.args.get("directory", "/etc/nsd/selfhost-dane"))
        raw = self._task.args.get("zones")
        if not isinstance(raw, list) or not all(isinstance(zone, dict) for zone in raw):
            raise AnsibleActionFail("zones is not a list of mappings; give name, soa and records of each zone")
        try:
            zones = [checked(zone) for zone in raw]
        except DaneError as error:
            raise AnsibleActionFail(str(error)) from error
        templates = {}
        for name in ("zone", *INCLUDES):
            source = self._find_needle("templates", f"{name}.j2")
            templates[name] = trust_as_template(self._loader.get_text_file_contents(source))
        files = []
        for zone in zones:
            templar = self._templar.copy_with_new_env(available_variables={"zone": zone})
            for name in (*INCLUDES, "zone"):  # what is included is there before what includes it
                text = templar.template(templates[name], escape_backslashes=False, overrides={"trim_blocks": True})
                files.append({"path": os.path.join(directory, zone["name"], name), "content": str(text)})
        result: dict[str, Any] = self._execute_module(module_name="selfhost.dane.text_files", task_vars=task_vars, module_args={"files": files})
        result.pop("invocation", None)
        return result
