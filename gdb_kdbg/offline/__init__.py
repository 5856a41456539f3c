"""kdbg without GDB: core dumps, files, and the `kdbg` program."""
