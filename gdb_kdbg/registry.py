"""Commands and settings, each declared once.

From one declaration come the GDB command with its help and completion, the sub-command of the outside `kdbg`
program, and the page in docs/commands.md. This module is imported whenever GDB starts, so it imports nothing
that takes time: no dataclasses, no typing, no argparse.
"""

from __future__ import annotations

import importlib
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Sequence

    from .session import Session

    Run = Callable[[Session, Any], object]

MODULES = (
    "status", "connect", "ring", "canary", "watch", "got", "reloc", "symbol", "vtable", "check_copy", "overlap",
    "events", "analyze", "triage", "why", "report",
)  # fmt: skip


# Choices longer than this are listed below the option and not in the usage line.
_SHORT = 30


class Argument:
    """One argument of a command: an option if its name starts with `--`, else a positional one.

    `kind` decides parsing and completion. It is `flag`, `text`, `count`, `number`, `glob`, `registers`, `address` (an
    expression of the target language inside GDB, a number or a symbol outside), `routine` (a function; outside it comes
    behind the files), `objfile` (a loaded file; outside it is an option), `process` (a process of this machine),
    `file`, or `log` (a file; outside the one of the bare words that is no ELF file). A positional argument is optional
    unless `required`. `short` is another name of an option: `-o`. Of one with `many` there may be several; such a
    positional one takes all bare words, so that outside no files with symbols are named behind it. `suggested` are the
    usual ones of a list with commas between them, which may have others.
    """

    def __init__(
        self,
        name: str,
        help: str,
        kind: str = "text",
        choices: Sequence[str] = (),
        required: bool = False,
        short: str = "",
        many: bool = False,
        suggested: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.short = short
        self.suggested = tuple(suggested)
        self.help = help
        self.kind = kind
        self.choices = tuple(choices)
        self.required = required
        self.many = many

    @property
    def is_option(self) -> bool:
        return self.name.startswith("--")

    @property
    def destination(self) -> str:
        return self.name.lstrip("-").replace("-", "_")

    @property
    def names(self) -> str:
        return f"{self.short}, {self.name}" if self.short else self.name

    def usage(self) -> str:
        """Return the argument as a usage line shows it: `[--last COUNT]`."""
        if not self.is_option:
            name = f"{self.name.upper()}..." if self.many else self.name.upper()
            return name if self.required else f"[{name}]"
        return f"[{self.short or self.name}]" if self.kind == "flag" else f"[{self.short or self.name} {self.metavar}]"

    @property
    def metavar(self) -> str:
        words = "|".join(self.choices)
        return words if 0 < len(words) <= _SHORT else self.destination.upper() if words else self.kind.upper()


def _filled(words: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word}, "
    lines[-1] = lines[-1].rstrip(", ")
    return lines


class Example:
    """A line to type and what it does."""

    def __init__(self, line: str, does: str) -> None:
        self.line = line
        self.does = does


class Command:
    """A declared command: its words, its arguments and the function that computes its result.

    `run(session, options)` returns a result dataclass, or a stream of rows that come bit by bit (see
    render/stream.py), and never prints. `live` marks a command that needs a
    program which can run; such a command is no part of the outside program.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        description: str,
        run: Run,
        arguments: Sequence[Argument],
        examples: Sequence[Example],
        live: bool,
    ) -> None:
        self.name = name
        self.summary = summary
        self.description = description
        self.run = run
        self.arguments = tuple(arguments)
        self.examples = tuple(examples)
        self.live = live

    def usage(self) -> str:
        return " ".join(["kdbg", self.name, *(argument.usage() for argument in self.arguments)]).replace("  ", " ")

    def help_text(self) -> str:
        """Return the whole help as GDB shows it; the first line is the summary of `help kdbg`."""
        lines = [f"{self.summary}.", f"Usage: {self.usage()}", "", *self.description.strip().splitlines()]
        if self.arguments:
            width = max(len(argument.names) for argument in self.arguments)
            lines.append("")
            for argument in self.arguments:
                lines.append(f"  {argument.names:<{width}}  {argument.help}")
                if len("|".join(argument.choices)) > _SHORT:
                    lines += (f"  {'':<{width}}  {text}" for text in _filled(argument.choices, 100 - width))
        if self.examples:
            lines += ["", "Examples:"]
            for example in self.examples:
                lines += [f"  (gdb) {example.line}", f"      {example.does}"]
        return "\n".join(lines)


class Setting:
    """A setting: `set kdbg NAME` inside GDB, `--set NAME=VALUE` outside."""

    def __init__(
        self, name: str, summary: str, description: str, default: str = "", choices: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.summary = summary
        self.description = description
        self.default = default
        self.choices = tuple(choices)


SETTINGS = (
    Setting("module-path", "Directories with the files of a kernel's modules, separated by colons",
            "`kdbg connect uml` looks there first, then beside the file of the kernel."),
    Setting("format", "Form of kdbg's output", "table for people, json for scripts (one object a line).",
            "table", ("table", "json")),
    Setting("ring-layout", "Layout of the trace ring where it differs from docs/ring-format.md",
            "Words NAME=VALUE: capacity=64 record=48 buffer=SYMBOL index=SYMBOL switch=SYMBOL, and a field each as\n"
            "FIELD=OFFSET[:SIZE] with the fields destination, source, size, return_address and any others, which are\n"
            "shown as they are. Empty: from DWARF types or from the symbols."),
    Setting("expected-guard", "Value the stack guard should have",
            "A number; `kdbg canary` then compares with it instead of looking for a source. Empty: look for one."),
    Setting("syscall-entry", "Symbol or address where the system-call path is entered",
            "For kernels kdbg does not know. The user's registers must still be in place there."),
    Setting("syscall-exit", "Symbol or address where the system-call path is left",
            "For kernels kdbg does not know. The result must be in rax there."),
)  # fmt: skip


class Registry:
    """The declared commands, in the order of declaration."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def add(self, command: Command) -> None:
        self._commands[command.name] = command

    def commands(self) -> Sequence[Command]:
        """Import every module of commands and return what they declared."""
        for module in MODULES:
            importlib.import_module(f"{__package__}.commands.{module}")
        return tuple(self._commands.values())

    def named(self, name: str) -> Optional[Command]:
        """Import only the module that is called like a command; return None if it declares no such command."""
        module = name.replace("-", "_")
        if module in MODULES:
            importlib.import_module(f"{__package__}.commands.{module}")
        return self._commands.get(name)


_registry = Registry()
commands = _registry.commands
named = _registry.named


def command(
    name: str,
    summary: str,
    arguments: Sequence[Argument] = (),
    examples: Sequence[Example] = (),
    live: bool = False,
) -> Callable[[Run], Run]:
    """Declare the decorated function a command; its docstring becomes the body of the help."""

    def declare(run: Run) -> Run:
        description = re.sub(r"(?m)^    ", "", run.__doc__ or "")
        _registry.add(Command(name, summary, description, run, arguments, examples, live))
        return run

    return declare


def candidates(command: Command, typed_words: Sequence[str], objfiles: Sequence[str] = ()) -> Sequence[str]:
    """Return the words that may come next: the choices of the option just typed, else options not yet given, the
    choices of positional arguments, and the names of loaded files where one is asked for."""
    words: list[str] = []
    for argument in command.arguments:
        offered = argument.choices or argument.suggested
        if argument.is_option and offered and typed_words and typed_words[-1] == argument.name:
            return offered
        if argument.is_option and not {argument.name, argument.short} & set(typed_words):
            words.append(argument.name)
        elif not argument.is_option and not set(typed_words) & set(argument.choices):
            words.extend(objfiles if argument.kind in ("objfile", "process") else argument.choices)
    return words


def awaiting_value(command: Command, text: str) -> Optional[Argument]:
    """Return the option whose value is being typed; None if it is no option's value."""
    words = text.split()
    before = words[:-1] if text[-1:].strip() else words
    last = before[-1] if before else ""
    options = (argument for argument in command.arguments if argument.is_option and argument.kind != "flag")
    return next((option for option in options if last and last in (option.name, option.short)), None)


def asks_for_file(command: Command, text: str) -> bool:
    """Tell whether the word being typed is a file: the value of an option that takes one, or a bare word."""
    option = awaiting_value(command, text)
    if option is not None:
        return option.kind == "file"
    typed = text.split()[-1] if text[-1:].strip() else ""
    return not typed.startswith("-") and any(a.kind in ("file", "log") for a in command.arguments if not a.is_option)


def complete(command: Command, text: str, word: Optional[str], objfiles: Sequence[str] = ()) -> Optional[Sequence[str]]:
    """Complete a command line as GDB's `Command.complete` wants it.

    GDB breaks words at `-` and asks with `word` None first, so each answer is cut to what stands behind the part
    already typed. Source: GDB manual, "Commands In Python".
    """
    if word is None:
        return None
    typed = text.rsplit(" ", 1)[-1]
    before = len(typed) - len(word)
    words = candidates(command, text.split()[:-1] if typed else text.split(), objfiles)
    option = awaiting_value(command, text)
    if option and option.suggested:
        listed = typed[: typed.rfind(",") + 1]
        words = [listed + candidate for candidate in words]
    return [candidate[before:] for candidate in words if candidate.startswith(typed)]
