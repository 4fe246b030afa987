"""How much code is in a dump: its views, triggers, routines and events, counted where the tool writes them out.

A view is final on the line where its definition begins. Everything else begins on the line after a DELIMITER line, or
after the end of another statement between two of them; what stands elsewhere is somebody's text.
"""

from __future__ import annotations

import re

DEFINER = rb"DEFINER=(?:`(?:[^`]|``)*`@?){1,2}"
HEAD = re.compile(
    rb"(?:CREATE|/\*!\d+ CREATE\*/)\s+(?:/\*!\d+ ?(?:" + DEFINER + rb")?\*/\s+|" + DEFINER + rb"\s+)?(?:/\*!\d+ )?"
    rb"(?P<kind>TRIGGER|EVENT|(?:AGGREGATE\s+)?FUNCTION|PROCEDURE|PACKAGE)\b",
    re.IGNORECASE,
)
VIEW = re.compile(rb"/\*!50001 VIEW `")
DELIMITER = re.compile(rb"DELIMITER (\S+)\s*$")
KINDS = {b"TRIGGER": "triggers", b"EVENT": "events"}  # the others are routines


class Code:
    """Counts what is read. ``counts`` has every kind, also those of which there is nothing."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("views", "triggers", "routines", "events"), 0)
        self._delimiter = b";"
        self._begins = False

    def read(self, text: bytes) -> None:
        """Take whole lines of a dump, in their order."""
        for line in text.splitlines():
            if found := DELIMITER.match(line):
                self._delimiter, self._begins = found[1], True
            elif self._delimiter == b";":
                self.counts["views"] += VIEW.match(line) is not None
            else:
                if self._begins and (head := HEAD.match(line)):
                    self.counts[KINDS.get(head["kind"].upper(), "routines")] += 1
                self._begins = line.rstrip().endswith(self._delimiter)
