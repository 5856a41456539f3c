"""`set kdbg ...` and `show kdbg ...`, made from the declared settings."""

from __future__ import annotations

import gdb

from ..errors import KdbgError
from ..registry import SETTINGS, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


class _Parameter(gdb.Parameter):
    def __init__(self, setting: Setting) -> None:
        self.__doc__ = f"{setting.summary}.\n{setting.description}"
        self.set_doc = f"Set: {setting.summary}."
        self.show_doc = f"Show: {setting.summary}."
        self.setting = setting
        if setting.choices:
            super().__init__(f"kdbg {setting.name}", gdb.COMMAND_DATA, gdb.PARAM_ENUM, setting.choices)
        else:
            super().__init__(f"kdbg {setting.name}", gdb.COMMAND_DATA, gdb.PARAM_STRING)
        self.value = setting.default
        self._before = setting.default

    def get_set_string(self) -> str:
        try:
            _check(self.setting.name, str(self.value or ""))
        except KdbgError as error:
            self.value = self._before
            raise gdb.GdbError(str(error)) from None
        self._before = str(self.value or "")
        return ""

    def get_show_string(self, value: str) -> str:
        return f"{self.setting.summary}: {value or '(not set)'}"


class _Prefix(gdb.Command):
    def __init__(self, name: str, doc: str) -> None:
        self.__doc__ = doc
        super().__init__(name, gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)

    def invoke(self, argument: str, from_tty: bool) -> None:
        if argument:
            raise gdb.GdbError(f"no kdbg setting {argument.split()[0]!r} (help set kdbg)")
        for setting in SETTINGS:
            gdb.write(f"{setting.name}: {_value(setting.name) or '(not set)'}\n")


def _check(name: str, value: str) -> None:
    if name == "ring-layout":
        from ..ring_layout import parse_wish

        parse_wish(value)
    elif name == "expected-guard" and value:
        from ..canary import parse_guard

        parse_guard(value)


def _value(name: str) -> str:
    return str(gdb.parameter(f"kdbg {name}") or "")


def setting_values() -> Mapping[str, str]:
    """Return the values of all settings by name."""
    return {setting.name: _value(setting.name) for setting in SETTINGS}


def declare_settings() -> None:
    """Declare the prefixes and the settings to GDB."""
    _Prefix("set kdbg", "Set a kdbg setting.")
    _Prefix("show kdbg", "Show kdbg settings.")
    for setting in SETTINGS:
        _Parameter(setting)
