"""C{umbcmail aliases check FILE…}: what is wrong with files of aliases.

Needs no configuration.  Ends with 0 when nothing is wrong, otherwise 1.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

from umbcmail.aliases import Aliases, Kind
from umbcmail.cli.command import NOTHING, Refusal

FILE = "/etc/aliases"


def addAliases(parts: Any) -> None:
    """Add the parsers.

    @param parts: subparsers of C{umbcmail}.
    """
    aliases = parts.add_parser("aliases", help="files of aliases, as Sendmail and Postfix have them")
    actions = aliases.add_subparsers(required=True, metavar="ACTION", dest="action")
    check = actions.add_parser("check", help="what is wrong with them")
    check.add_argument("files", metavar="FILE", nargs="*", help=f"all that belong together ({FILE})")
    check.add_argument("--json", action="store_true", help="JSON for programs, one value a line")
    check.set_defaults(prepare=_check)


def _read(path: str) -> Iterable[str]:
    with open(path, encoding="utf-8") as file:
        return file.readlines()


def _check(given: argparse.Namespace, tools: Any) -> None:
    """Do it.

    @raise SystemExit: nothing is wrong.
    @raise Refusal: something is.
    """
    aliases = Aliases(_read)
    for path in given.files or [FILE]:
        aliases.addFile(path)
    aliases.check()
    kinds = [target.kind for alias in aliases.entries.values() for target in alias.targets]
    counts = {kind.value: kinds.count(kind) for kind in Kind if kind in kinds}
    if given.json:
        record = {"aliases": len(aliases.entries), "targets": counts, "mistakes": aliases.mistakes}
        print(json.dumps(record), file=tools.out)
    else:
        for mistake in aliases.mistakes:
            print(mistake, file=tools.out)
        shown = ", ".join(f"{kind} {number}" for kind, number in counts.items())
        print(f"{len(aliases.entries)} aliases; targets: {shown or 'none'}", file=tools.out)
    if aliases.mistakes:
        tools.out.flush()
        raise Refusal(NOTHING, f"mistakes: {len(aliases.mistakes)}")
    raise SystemExit(0)
