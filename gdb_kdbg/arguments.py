"""Parsing of a command's arguments, the same inside GDB and outside."""

from __future__ import annotations

import argparse
from typing import NoReturn, Sequence

from .errors import KdbgError
from .registry import Argument, Command


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise KdbgError(f"{message} (help {self.prog})")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, width=100)


def count(text: str) -> int:
    """Parse a number of items: decimal or 0x hexadecimal, not negative."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"not a count: {text!r}")
    return value


def add_argument(parser: argparse.ArgumentParser, argument: Argument) -> None:
    """Add a declared argument to an argparse parser."""
    names = [name for name in (argument.short, argument.name) if name]
    if argument.kind == "flag":
        parser.add_argument(*names, action="store_true", help=argument.help)
    elif argument.is_option and argument.many:
        parser.add_argument(*names, action="append", default=[], metavar=argument.metavar, help=argument.help)
    elif argument.is_option:
        kind = count if argument.kind == "count" else str
        parser.add_argument(
            *names, type=kind, metavar=argument.metavar, choices=argument.choices or None, help=argument.help
        )
    else:
        parser.add_argument(
            argument.name,
            nargs=("+" if argument.required else "*") if argument.many else None if argument.required else "?",
            choices=argument.choices or None,
            help=argument.help,
        )


def add_outside(parser: argparse.ArgumentParser, argument: Argument) -> None:
    """Add an argument to the outside program, where bare words are files, a log among them, and a loaded file is named
    by an option."""
    if argument.kind == "objfile":
        parser.add_argument(f"--{argument.name}", metavar="NAME", help=argument.help)
    elif argument.kind != "log":
        add_argument(parser, argument)


def parse(command: Command, words: Sequence[str]) -> argparse.Namespace:
    """Parse the words of a command line, or raise KdbgError with argparse's reason."""
    # Without a width argparse asks the terminal for one with every argument, for a help that is never shown.
    parser = _Parser(prog=f"kdbg {command.name}", add_help=False, allow_abbrev=False, formatter_class=_formatter)
    for argument in command.arguments:
        add_argument(parser, argument)
    return parser.parse_args(list(words))
