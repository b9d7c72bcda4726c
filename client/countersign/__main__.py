"""`python -m countersign`: the command line."""

import sys

from countersign.cli import main

sys.exit(main())
