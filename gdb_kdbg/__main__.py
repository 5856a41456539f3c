"""`python3 -m gdb_kdbg`: the `kdbg` program."""

import sys

from .offline.program import main

sys.exit(main())
