"""The console command C{umbcmail}, also as C{python -m umbcmail} where it is not installed.

What is run at each login of somebody's mail program, or for each mail of a program, must
start quickly, so it goes its own way before anything large is imported.
"""

from __future__ import annotations

import sys


def main() -> int:
    """@return: exit status."""
    if sys.argv[1:3] == ["drac", "add"]:
        from umbcmail.drac.addcommand import main as add

        return add(sys.argv[3:])
    if sys.argv[1:2] == ["sendmail"]:
        from umbcmail.sendmail import main as sendmail

        return sendmail(["sendmail", *sys.argv[2:]])
    from umbcmail.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
