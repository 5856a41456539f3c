"""What a copy routine promises: its arguments, what it may touch, and what it returns."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Mapping, Optional

from .errors import KdbgError
from .units import safe_text

# What the result is: where the destination starts or ends, the bytes that were not copied, the string's length.
DESTINATION, END, REMAINDER, LENGTH, NOTHING = "destination", "end", "remainder", "length", "nothing"
REGISTERS = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
# In the place of a register: what the routine neither takes nor returns.
ABSENT = "none"
_COPY_ARGUMENTS = MappingProxyType({"dst": "rdi", "src": "rsi", "size": "rdx", "result": "rax"})
_FILL_ARGUMENTS = MappingProxyType({"dst": "rdi", "value": "rsi", "size": "rdx", "result": "rax"})


@dataclass(frozen=True)
class Contract:
    """A promise; `faults` are the sides ("dst", "src") on which a page may be missing, which the routine survives."""

    name: str
    returns: str
    arguments: Mapping[str, str] = field(default_factory=lambda: _COPY_ARGUMENTS)
    may_overlap: bool = False
    faults: tuple[str, ...] = ()
    is_string: bool = False

    @property
    def is_fill(self) -> bool:
        return "value" in self.arguments

    @property
    def clears(self) -> bool:
        """Whether it fills with zeros, without being told a value."""
        return self.arguments.get("value") == ABSENT


CONTRACTS = {
    contract.name: contract
    for contract in (
        Contract("memcpy", DESTINATION),
        Contract("memmove", DESTINATION, may_overlap=True),
        Contract("mempcpy", END),
        Contract("memset", DESTINATION, _FILL_ARGUMENTS),
        Contract("copy_to_user", REMAINDER, faults=("dst",)),
        Contract("copy_from_user", REMAINDER, faults=("src",)),
        Contract("copy_user", REMAINDER, faults=("dst", "src")),
        Contract("copy_to_user_void", NOTHING),
        Contract("copy_from_user_void", NOTHING),
        Contract("strncpy_from_user", LENGTH, faults=("src",), is_string=True),
    )
}
# From the most to the least particular.
_NAMES = (
    (r"strncpy_from_user", "strncpy_from_user"),
    (r"from_user|copyin", "copy_from_user"),
    (r"to_user|copyout", "copy_to_user"),
    (r"copy_user|ucopy|user_copy", "copy_user"),
    (r"mempcpy", "mempcpy"),
    (r"memmove|bmove", "memmove"),
    (r"memcpy", "memcpy"),
    (r"memset|memfill", "memset"),
)


def contract_of(routine: str, wanted: Optional[str], arguments: Optional[str]) -> Contract:
    """Return the contract that was asked for, or that the routine's name tells; raise KdbgError."""
    name = wanted or next((contract for pattern, contract in _NAMES if re.search(pattern, routine)), "")
    if name not in CONTRACTS:
        what = f"no contract {safe_text(name)!r}" if name else f"the name {safe_text(routine)!r} tells no contract"
        raise KdbgError(f"{what}: --contract takes one of {', '.join(CONTRACTS)}")
    contract = CONTRACTS[name]
    if not arguments:
        return contract
    words = _parsed(contract, arguments)
    returns = NOTHING if words.get("result") == ABSENT else contract.returns
    return replace(contract, returns=returns, arguments={**contract.arguments, **words})


def _parsed(contract: Contract, text: str) -> Mapping[str, str]:
    words = dict(word.partition("=")[::2] for word in text.replace(" ", "").split(","))
    absent = {"value", *(() if contract.faults else ("result",))}
    for role, register in words.items():
        if role not in contract.arguments or (
            register not in REGISTERS and not (register == ABSENT and role in absent)
        ):
            some = " and ".join(sorted(absent & set(contract.arguments)))
            raise KdbgError(
                f"no argument {safe_text(role)!r} in {safe_text(register)!r}: --args takes ROLE=REGISTER with commas "
                f"between them, the roles {', '.join(contract.arguments)}{f'; {some} may be {ABSENT}' if some else ''}"
            )
    taken = [register for role, register in {**contract.arguments, **words}.items() if role != "result"]
    if len(set(taken)) < len(taken):
        raise KdbgError(f"two arguments in one register: --args {safe_text(text)}")
    return words
