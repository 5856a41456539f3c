"""Fewer examples than hypothesis takes by default, none kept on disk: the unit tests take seconds."""

from hypothesis import settings

settings.register_profile("unit", max_examples=30, deadline=None, database=None)
settings.load_profile("unit")
