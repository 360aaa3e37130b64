# SPDX-FileCopyrightText: 2026 The selfhost.dane authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the seconds of each task, from its start to the start of the next, to a file."""
from __future__ import annotations

import json
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: task_seconds
type: aggregate
short_description: Write the seconds of each task to a file
description: For the measurements. One line of JSON for each task, in their order - action, name, seconds.
options:
  log:
    description: The file.
    env: [{name: TASK_SECONDS_LOG}]
    type: path
    required: true
"""


class CallbackModule(CallbackBase):
    """Tasks follow one another: each ends where the next begins."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_seconds"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.task = ("start of ansible-playbook", "")
        self.since = time.monotonic()

    def begin(self, action: str, name: str) -> None:
        """A task begins, so the one before has ended."""
        now = time.monotonic()
        with open(self.get_option("log"), "a", encoding="utf-8") as stream:
            print(json.dumps([*self.task, now - self.since]), file=stream)
        self.task, self.since = (action, name), now

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:  # noqa: ANN001
        self.begin(task.action, task.get_name())

    def v2_playbook_on_handler_task_start(self, task) -> None:  # noqa: ANN001
        self.begin(task.action, task.get_name())

    def v2_playbook_on_stats(self, stats) -> None:  # noqa: ANN001
        self.begin("", "")
