"""The version of the client, in one place."""

from typing import Final

VERSION: Final = "0.1.0"
