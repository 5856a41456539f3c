"""Rules of `kdbg why`: each takes the scene of a stop and returns a finding or None. None of them guesses."""
