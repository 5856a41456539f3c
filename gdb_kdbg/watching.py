"""What a write watchpoint has to tell: which hits are news, which are iterations of a copy already reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from .process import page_table_root
from .ranges import Range
from .scene import Scene
from .writers import Writer


@dataclass(frozen=True)
class _Copy:
    """One write of a run: an instruction in one call of its function, for one ring record; `place` moves along."""

    instruction: int
    stack: Optional[int]
    sequence: Optional[int]
    place: int

    def direction_from(self, other: Optional[_Copy]) -> int:
        """Return 1 or -1 if this may be a further iteration of `other`, forwards or backwards, else 0."""
        if other is None:
            return 0
        same = (self.instruction, self.stack, self.sequence) == (other.instruction, other.stack, other.sequence)
        return (self.place > other.place) - (self.place < other.place) if same else 0


@dataclass
class _Watched:
    value: bytes
    last: Optional[_Copy] = None
    direction: int = 0  # of the run of writes that `last` belongs to, once it is known

    def continues(self, copy: Optional[_Copy]) -> bool:
        """Note the newest write; tell a further iteration from a new copy, which starts over."""
        direction = copy.direction_from(self.last) if copy is not None else 0
        goes_on = direction != 0 and self.direction in (0, direction)
        self.last, self.direction = copy, direction if goes_on else 0
        return goes_on


class WriteFilter:
    """Decides hit by hit, for each process on its own.

    A repeated string store, or a loop that stores byte by byte, hits once an iteration and is told once. A guard that
    was 0 gets its first value by an
    initialisation, which is none of a user's concern, unless a copy that was not asked to wrote it.
    """

    def __init__(
        self, range: Range, root: Optional[int], pid: Optional[int], is_guard: bool, scene: Callable[[], Scene]
    ) -> None:
        self.range = range
        self.root = root
        self.pid = pid
        self.is_guard = is_guard
        self.before = b""
        self._scene = scene
        self._watched: dict[int, _Watched] = {}

    def arm(self, root: int, value: bytes) -> None:
        """Note the value in a process at the time of arming."""
        self._watched[root] = _Watched(value)

    def is_news(self, value: bytes) -> bool:
        """Judge a hit that left `value` in the watched range of the running process."""
        scene = self._scene()
        root = page_table_root(scene.target)
        if self.root is not None and root != self.root:
            return False
        watched = self._watched.setdefault(root, _Watched(bytes(self.range.size)))
        before, watched.value = watched.value, value
        self.before = before
        if self.pid is not None and scene.process is not None and scene.process.pid != self.pid:
            return False  # the watched process is gone, and another one got its page tables
        writer = scene.writer_to(self.range)
        if watched.continues(_copy(scene, writer)):
            return False
        return value != before and not self._is_initialisation(before, writer)

    def _is_initialisation(self, before: bytes, writer: Optional[Writer]) -> bool:
        if not self.is_guard or any(before):
            return False
        return writer is None or writer.record is None or writer.record.asked.covers(self.range)


def _copy(scene: Scene, writer: Optional[Writer]) -> Optional[_Copy]:
    if writer is None:
        return None
    sequence = writer.record.sequence if writer.record else None
    store = writer.store
    return _Copy(store.instruction.address, scene.target.register("rsp"), sequence, store.done.start)
