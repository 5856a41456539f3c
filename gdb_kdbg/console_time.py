"""What stands before the text of a console line: times as kernels and terminal programs write them, colours."""

from __future__ import annotations

import datetime
import re
from typing import Optional

COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# [   12.345678], with the caller behind it where printk is asked for that: [    T1] or [    C0].
_PRINTK = r"\[ {0,12}(?P<printk>\d{1,12}\.\d{1,9})\](?:\[ {0,6}[TC]\d{1,9}\])?"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d(?:[.,]\d{1,9})?)"
_DATE = r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T_ ]"
_ZONE = r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
_NAMED = r"(?P<name>[A-Z][a-z]{2}) {1,2}(?P<dayofmonth>\d{1,2}) "
_PLAIN = r"(?P<plain>\d{1,12}\.\d{1,9}):?(?= |$)"
STAMP = re.compile(
    rf"(?:<\d{{1,3}}>)?(?:{_PRINTK}|\[?(?:(?:{_DATE}|{_NAMED})?{_CLOCK}){_ZONE}\]?:?|{_PLAIN})|<\d{{1,3}}>", re.ASCII
)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_DAY = 86400
_LONGEST = 256


def console_time(text: str) -> tuple[Optional[float], str]:
    """Take times, levels, colours and blanks from the start of a text; return the time in seconds and the rest.

    A date is seconds since 1970 (UTC unless it names a zone), a clock seconds since midnight, a date without a year
    seconds of a year that is no leap year, and a kernel's own stamp seconds since its start. The first time counts.
    """
    time, place = _stamp(text[:_LONGEST])
    return time, text[place:]


def _stamp(text: str) -> tuple[Optional[float], int]:
    time, place = None, 0
    while True:
        found = COLOUR.match(text, place) or STAMP.match(text, place) or _BLANK.match(text, place)
        if found is None:
            return time, place
        place = found.end()
        if time is None and found.re is STAMP:
            time = _seconds(found)


_BLANK = re.compile(r"[ \t\r\x00]+")


def _seconds(found: re.Match[str]) -> Optional[float]:
    own = found["printk"] or found["plain"]
    if own:
        return float(own)
    if not found["hour"]:
        return None
    clock = int(found["hour"]) * 3600 + int(found["minute"]) * 60 + float(found["second"].replace(",", "."))
    if found["year"]:
        return _since_1970(found, clock)
    if found["name"] in _MONTHS:
        first = datetime.date(2001, _MONTHS.index(found["name"]) + 1, 1).timetuple().tm_yday
        return (first + int(found["dayofmonth"]) - 2) * _DAY + clock
    return clock


def _since_1970(found: re.Match[str], clock: float) -> Optional[float]:
    try:
        date = datetime.date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        return None
    days = date.toordinal() - datetime.date(1970, 1, 1).toordinal()
    zone = found["zone"] or "Z"
    shift = 0 if zone == "Z" else int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    return days * _DAY + clock - shift
