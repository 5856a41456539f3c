"""`python3 -m gdb_kdbg.docs`: the reference page of all commands, from their declarations."""

from __future__ import annotations

from .registry import SETTINGS, Command, Setting, commands

_HEAD = """# Commands

Made from the declarations in `gdb_kdbg/commands` by `make docs`; edit those.

Inside GDB each command has `help kdbg NAME` and completion. With `with kdbg format json -- kdbg NAME` or
`set kdbg format json` it prints one JSON object a line:
`{"schema": 1, "command": ..., "data": {...}, "problems": [...]}`.
Commands marked *live* need a program that can run; all others work on core dumps too, inside GDB and as
`python3 -m gdb_kdbg NAME --core DUMP [FILE...]` outside.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [_HEAD, *(_command(command) for command in commands()), "## Settings\n", *map(_setting, SETTINGS)]
    return "\n".join(parts)


def _command(command: Command) -> str:
    lines = [f"## kdbg {command.name}{' (live)' if command.live else ''}", "", f"{command.summary}.", ""]
    lines += ["```", command.usage(), "```", "", command.description.strip(), ""]
    if command.arguments:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{argument.names}` | {argument.help} |" for argument in command.arguments]
        lines.append("")
    lines += [f"- `{example.line}`: {example.does}" for example in command.examples]
    return "\n".join(lines) + ("\n" if command.examples else "")


def _setting(setting: Setting) -> str:
    default = f" Default: `{setting.default}`." if setting.default else ""
    return f"### set kdbg {setting.name}\n\n{setting.summary}.{default} {setting.description}\n"


if __name__ == "__main__":
    print(page(), end="")
