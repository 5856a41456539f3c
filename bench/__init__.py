"""Measures what kdbg costs: GDB's start-up, packets over a remote stub, what slots take, and the speed of the guest."""
