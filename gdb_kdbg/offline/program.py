"""The `kdbg` program: the same commands outside GDB, on core dumps and files."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import Iterable, Iterator, Optional, Sequence

from ..arguments import add_outside
from ..errors import KdbgError
from ..registry import SETTINGS, Argument, Command, commands, named
from ..render.json import error_to_json, to_json
from ..render.stream import COLOURS, Stream, stream_to_json, stream_to_text
from ..render.table import Style, plain, to_text
from .session import OfflineSession, log_among

_COLOURS = {"corrupted": "31;1", "intact": "32", "unset": "33", "unknown": "33"}
_GATHERED = 1 << 16


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; return 0, or 1 after an error of one line, or what the command's stream says at its end."""
    known = _known(sys.argv[1:] if arguments is None else arguments)
    options = _parse(_parser(known), arguments, known)
    status: list[int] = []
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of the target may have more letters than the locale
    try:
        _write(_run(known[options.command], options, status))
    except KdbgError as error:
        if options.format == "json":
            print(error_to_json(options.command, str(error)))
        else:
            print(f"kdbg: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of a pipe went away; let Python's own flush at exit find nothing to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return sum(status)


# Many small chunks are written at once, for each would be a system call of its own.
def _write(chunks: Iterable[str]) -> None:
    gathered: list[str] = []
    size = 0
    try:
        for chunk in chunks:
            gathered.append(chunk)
            size += len(chunk)
            if not chunk or size >= _GATHERED:
                text, gathered, size = "".join(gathered), [], 0
                sys.stdout.write(text)
                if not chunk:
                    sys.stdout.flush()
    finally:
        sys.stdout.write("".join(gathered))


# The command that is named, or all to choose from: every command that argparse is told of takes its time.
def _known(words: Sequence[str]) -> dict[str, Command]:
    one = named(words[0]) if words else None
    return {command.name: command for command in ([one] if one and not one.live else commands()) if not command.live}


# argparse takes all bare words at the first it meets; files that stand behind an option are left over.
def _parse(
    parser: argparse.ArgumentParser, arguments: Optional[Sequence[str]], known: dict[str, Command]
) -> argparse.Namespace:
    options, files = parser.parse_known_args(arguments)
    wrong = [word for word in files if word.startswith("-")]
    if wrong:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    own = _own_files(known[options.command])
    if own:
        setattr(options, own.destination, [*getattr(options, own.destination), *files])
        options.files = []
        return options
    options.files = [*options.files, *files]
    if any(argument.kind == "log" for argument in known[options.command].arguments):
        options.log, options.files = log_among(options.files)
    if hasattr(options, "routine"):
        # Files come before the routine in them.
        words = [options.routine, *options.files]
        options.files, options.routine = words[:-1], words[-1]
    return options


# The argument that takes all bare words, if the command has one.
def _own_files(command: Command) -> Optional[Argument]:
    return next((argument for argument in command.arguments if argument.many and not argument.is_option), None)


# Text in chunks, an empty one where all of it should be seen. A stream may have a status to end with.
def _run(command: Command, options: argparse.Namespace, status: list[int]) -> Iterator[str]:
    session = OfflineSession(options.core, options.files, _settings(options.set))
    result = command.run(session, options)
    if isinstance(result, Stream):
        as_json = options.format == "json"
        yield from stream_to_json(command.name, result) if as_json else stream_to_text(result, _style())
        status.append(getattr(result, "status", 0))
    else:
        yield to_json(command.name, result) if options.format == "json" else to_text(result, _style())
        yield "\n"


def _parser(known: dict[str, Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kdbg", description="kdbg outside GDB: core dumps, memory dumps and files.", formatter_class=_formatter
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="kdbg")
    for command in known.values():
        sub = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.help_text(),
            formatter_class=_formatter,
        )
        for argument in command.arguments:
            add_outside(sub, argument)
        _add_common(sub, takes_files=_own_files(command) is None)
    return parser


# Without a width argparse asks the terminal for one with every argument, by modules that take long to import.
def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=_columns() - 2)


def _columns() -> int:
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told):
        return int(told)
    try:
        return os.get_terminal_size().columns or 80
    except (ValueError, OSError):
        return 80


def _add_common(parser: argparse.ArgumentParser, takes_files: bool) -> None:
    parser.add_argument("--core", metavar="FILE", help="a core dump, or a guest's dump-guest-memory -p file")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a kdbg setting")
    if takes_files:
        parser.add_argument("files", nargs="*", metavar="FILE", help="ELF files with symbols, and a core dump")


def _settings(words: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or name not in {setting.name for setting in SETTINGS}:
            raise KdbgError(f"no setting {word!r}: --set takes NAME=VALUE with one of "
                            f"{', '.join(setting.name for setting in SETTINGS)}")  # fmt: skip
        values[name] = value
    return values


def _style() -> Style:
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return _coloured if colours else plain


def _coloured(text: str, role: str) -> str:
    code = _COLOURS.get(text, "") if role == "verdict" else COLOURS.get(role, "")
    return f"\x1b[{code}m{text}\x1b[0m" if code else text
