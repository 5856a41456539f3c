"""A gdbstub that dies: relays between stdin/stdout and a stub's Unix socket, and exits when N memory reads came.

The reads are counted from the moment on when a marker file is there.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys


def main(path: str, marker: str, reads: int) -> None:
    with socket.socket(socket.AF_UNIX) as stub:
        stub.connect(path)
        while True:
            for ready in select.select([stub, sys.stdin], [], [])[0]:
                data = stub.recv(65536) if ready is stub else os.read(0, 65536)
                if ready is not stub and os.path.exists(marker):
                    reads -= len(re.findall(rb"\$m[0-9a-f]+,[0-9a-f]+#", data))
                if not data or reads < 0:
                    return
                if ready is stub:
                    os.write(1, data)
                else:
                    stub.sendall(data)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
