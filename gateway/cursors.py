"""Numbered cursors: ``le_12``, ``del_7``."""

from __future__ import annotations

import re

from gateway.problems import invalid


def number_of(cursor: str, prefix: str) -> int:
    """The number behind the prefix.

    :raises ProblemError: it is not a cursor of this list.
    """
    match = re.fullmatch(prefix + r"_([0-9]{1,18})", cursor)
    if match is None:
        raise invalid("cursor", "is not a cursor of this list")
    return int(match.group(1))
