"""The commands: each a declaration and one call into the logic; imported at GDB's start, so they import late."""
