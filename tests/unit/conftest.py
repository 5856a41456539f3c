"""Fewer examples than hypothesis takes by default, none kept on disk: the unit tests take seconds.

The examples are the same each time, however slow the machine is; KDBG_RANDOM=1 takes others.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit", max_examples=30, deadline=None, database=None, derandomize=not os.environ.get("KDBG_RANDOM"),
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("unit")
