"""Measures what kdbg costs: GDB's start-up, packets over a remote stub, and the speed of the guest."""
