"""`python3 -m gdb_kdbg`: the `kdbg` program."""

import gc
import sys

from .collector import rare_collections
from .offline.program import main

with rare_collections():
    status = main()
    # Python looks through all objects once more at its end, and the system takes them anyway.
    gc.freeze()
sys.exit(status)
