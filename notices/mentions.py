"""Decides who a text mentions: `@name`, outside code."""

from __future__ import annotations

import re
from typing import Final

_CODE: Final = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`", re.DOTALL)
_NAME: Final = re.compile(r"(?<![\w.+@/-])@(\w(?:[\w.+-]*\w)?)")


def mentioned(text: str) -> set[str]:
    """The user names in `text`, lower case, without the `@`; whether such people exist is for who asks.

    A mention starts a word, so that an address such as `a@example.org` is none, and a full stop after a name ends a sentence.
    What stands in code, between backticks or in a fenced block, mentions nobody.
    """
    return {name.lower() for name in _NAME.findall(_CODE.sub(" ", text))}
