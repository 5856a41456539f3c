class Guards:
    problems = ()
    handlers = {}
    def __init__(self, *a): pass
    def stories(self): return ()
    def lost(self, line): pass
    def restart(self): pass
