"""C{python -m umbcmail queue ...}: the operator's tool where it is not installed."""

from __future__ import annotations

import sys

from umbcmail.cli import main

sys.exit(main())
