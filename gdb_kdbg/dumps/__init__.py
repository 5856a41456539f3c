"""Core dumps and memory dumps of guests as targets, read without GDB."""
