"""kdbg: a GDB extension for people who write kernels, dynamic linkers and runtimes."""
