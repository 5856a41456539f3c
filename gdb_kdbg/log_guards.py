"""Stack guards in a log: the checks that the kernel makes of them, and the story of each that was changed."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Sequence

from .events import Event
from .log_copies import Asked, Copies
from .log_story import STORIES, Programs, Story, forget_oldest
from .log_symbols import Symbolic
from .units import ADDRESS_MASK

# A dump of the ring that belongs to a check stands right beside it.
_BESIDE = 8


class GuardDamage:
    """A guard found changed, and what belongs to it: the dump of the ring, what became of the process."""

    def __init__(
        self, intact: Optional[Event], event: Event, lost_at: int, asked: Sequence[Asked], program: str
    ) -> None:
        self.intact = intact
        self.event = event
        self.lost_at = lost_at
        self.asked = asked
        self.program = program
        self.dump: Optional[Event] = None
        self.consequences: List[Event] = []
        self.seen = 1


def word(event: Event, name: str) -> int:
    """Return a 64-bit member of an event, 0 if it is not there."""
    return (event.number(name) or 0) & ADDRESS_MASK


class Guards:
    """Follows the guard of each process."""

    def __init__(self, symbols: Symbolic, programs: Programs, copies: Copies) -> None:
        self._symbols = symbols
        self._programs = programs
        self._copies = copies
        self._intact: Dict[Optional[int], Event] = {}
        self._damaged: Dict[Optional[int], GuardDamage] = {}
        self._dumps: Dict[Optional[int], Event] = {}
        self._all: List[GuardDamage] = []
        self._untold = 0
        self._lost_at = 0
        self.handlers = {
            "canary_check": self._check, "ucopy_trace_dump": self._dump, "process_exec": self._exec,
            "process_exit": self._exit,
        }  # fmt: skip

    @property
    def problems(self) -> Sequence[str]:
        return [f"{self._untold} more guards were changed, which are not told one by one"] if self._untold else ()

    @property
    def damages(self) -> Sequence[GuardDamage]:
        """The damaged guards that are told, in order."""
        return tuple(self._all)

    def lost(self, line: int) -> None:
        """Events are missing before a line."""
        self._lost_at = line

    def restart(self) -> None:
        """Forget the processes: the machine has started again."""
        for states in (self._intact, self._damaged, self._dumps):
            states.clear()

    def take_consequence(self, pid: Optional[int], events: Sequence[Event]) -> bool:
        """Take what became of a process if its guard was changed before; tell whether it was."""
        damage = self._damaged.get(pid)
        if damage is not None:
            damage.consequences += events
        return damage is not None

    def stories(self) -> Iterator[Story]:
        if self._all:
            from .log_guard_stories import guard_story

            for damage in self._all:
                story = guard_story(damage, self._symbols)
                if story is not None:
                    yield story

    def _check(self, event: Event) -> None:
        pid = event.pid
        if event.fields.get("corrupted") is not True:
            if pid not in self._intact:
                forget_oldest(self._intact)
            self._intact[pid] = event
            if pid in self._damaged:
                del self._damaged[pid]
            return
        known = self._damaged.get(pid)
        if known is not None and _same_damage(known.event, event):
            known.seen += 1
        elif _is_told(event):
            self._begin(pid, event)

    def _begin(self, pid: Optional[int], event: Event) -> None:
        intact = self._intact.get(pid)
        if intact is not None and not _same_guard(intact, event):
            intact = None
        damage = GuardDamage(intact, event, self._lost_at, self._copies.asked(pid), self._programs.name(pid))
        dump = self._dumps.get(pid)
        if dump is not None and event.line - dump.line <= _BESIDE:
            damage.dump = dump
        self._damaged[pid] = damage
        forget_oldest(self._damaged)
        if len(self._all) < STORIES:
            self._all.append(damage)
        else:
            self._untold += 1

    def _dump(self, event: Event) -> None:
        if "fault" in str(event.fields.get("trigger")):
            return
        damage = self._damaged.get(event.pid)
        if damage is not None and damage.dump is None and event.line - damage.event.line <= _BESIDE:
            damage.dump = event
        else:
            self._dumps[event.pid] = event
            forget_oldest(self._dumps)

    # Another program has another guard.
    def _exec(self, event: Event) -> None:
        self._intact.pop(event.pid, None)
        self._damaged.pop(event.pid, None)

    def _exit(self, event: Event) -> None:
        self._intact.pop(event.pid, None)
        if event.fields.get("by_signal") is not True:
            self._damaged.pop(event.pid, None)


def _same_guard(one: Event, other: Event) -> bool:
    return all(word(one, name) == word(other, name) for name in ("fsbase", "expected"))


def _same_damage(one: Event, other: Event) -> bool:
    return _same_guard(one, other) and word(one, "found") == word(other, "found")


# A line that lacks what was found tells nothing, and one that contradicts itself neither.
def _is_told(event: Event) -> bool:
    values = [event.number(name) for name in ("fsbase", "found", "expected")]
    return None not in values and bool(values[0]) and values[1] != values[2]
