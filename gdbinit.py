"""Loads kdbg into GDB: `source gdbinit.py`."""

import glob
import importlib.util
import os
import sys


def _load():
    # In a nested `source` GDB leaves __file__ at the outer file; the code object knows its own.
    here = os.path.dirname(os.path.abspath(_load.__code__.co_filename))
    roots = [here, *sorted(glob.glob(os.path.join(here, ".venv", "lib", "python3*", "site-packages")))]
    sys.path.extend(root for root in roots if os.path.isdir(root) and root not in sys.path)
    from gdb_kdbg.live import plugin

    plugin.load()
    packages = {"elftools": "pyelftools", "capstone": "capstone"}
    missing = [name for module, name in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"kdbg: missing for GDB's Python: {', '.join(missing)} (scripts/setup installs them)")


if sys.version_info < (3, 9):
    print("kdbg: needs a GDB with Python 3.9 or newer, this one has %d.%d" % sys.version_info[:2])
else:
    try:
        _load()
    except ImportError as _error:
        print(f"kdbg: not loaded: {_error} (scripts/setup installs what is missing)")
