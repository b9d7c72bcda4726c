#!/usr/bin/env python
"""Django's command line for Countersign."""

import os
import sys


def main() -> None:
    """Run the command that the arguments name; `verify-signoff` may be typed as it is spoken."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(
        [*sys.argv[:1], *("verify_signoff" if one == "verify-signoff" else one for one in sys.argv[1:])]
    )


if __name__ == "__main__":
    main()
