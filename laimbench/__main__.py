"""``python -m laimbench``: the command, for launchers that start modules."""

import sys

from laimbench.cli import main

sys.exit(main())
