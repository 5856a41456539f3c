"""kdbg inside GDB: the only importers of gdb."""
