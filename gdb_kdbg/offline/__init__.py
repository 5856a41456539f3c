"""kdbg outside GDB: the `kdbg` program."""
