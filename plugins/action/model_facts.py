# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's side of model_facts; it touches no host."""
from __future__ import annotations

from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.errors import DaneError
from ..module_utils.model import judge_model, plain, show, slice_of

# inventory_hostname is where ssh connects to, where the inventory has no ansible_host
INJECTED = ("the facts that a host returns become variables, so a host that somebody else has can take the name of another one, and what is meant for it is"
            " done there; write inject_facts_as_vars = false under [defaults] in ansible.cfg")


def read_variables(hostvars: Any, templar: Any) -> dict[str, dict[str, Any]]:
    """The dane_* variables of every host of the inventory (not only those of the play), templated in the host's own context.

    hostvars[host] would not do: there a value that refers to hostvars is undefined.
    """
    found: dict[str, dict[str, Any]] = {}
    errors: list[str] = []
    for host in hostvars:
        variables = {**hostvars.raw_get(host), "hostvars": hostvars}
        template = templar.copy_with_new_env(available_variables=variables).template
        found[str(host)] = {}
        for key in variables:
            if not key.startswith("dane_"):
                continue
            try:
                found[str(host)][str(key)] = plain(template(variables[key]))
            except (AnsibleError, DaneError) as error:
                reason = " ".join(str(error).split())
                errors.append(f"host {show(host)}, {show(key)}: {reason}; mend the value or define what it refers to")
    if errors:
        raise DaneError("\n".join(errors[:20]))
    return found


class ActionModule(ActionBase):  # type: ignore[misc]
    """Judge the model and return this host's slice as the fact dane."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        if constants.config.get_config_value("INJECT_FACTS_AS_VARS"):
            Display().warning(INJECTED)
        try:
            model = judge_model(read_variables(variables["hostvars"], self._templar))
        except DaneError as error:
            result.update(failed=True, msg=str(error))
            return result
        result.update(changed=False, ansible_facts={"dane": slice_of(model, str.__str__(variables["inventory_hostname"]))})
        return result
