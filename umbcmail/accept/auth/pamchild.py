"""Asks PAM, in a process of its own: a module may take long, may not be made for
threads, and may bring the process down.

`pam` runs this file as a program, without the rest of the package, and ends it when
it takes too long.  The service is its only argument.  A line of JSON on its standard
input is a question, a line of JSON on its standard output the answer; it ends when
there is no more input.  Needs C{pamela}.
"""

from __future__ import annotations

import json
import os
import sys
from base64 import b64decode
from ctypes import CFUNCTYPE, c_char_p, c_int, c_uint, c_void_p, cast
from typing import Any

LINE_LIMIT = 8192
PAM_FAIL_DELAY = 10
"""The item of Linux-PAM for a function in place of its sleep after a failure."""


def ask(pamela: Any, service: str, login: str, password: bytes, host: str) -> int:
    """Whether PAM lets somebody in: authentication, then what the account says.

    @param pamela: the module.
    @param host: the client's address.
    @return: a code of PAM; 0 is yes.
    """
    converse = pamela.new_simple_password_conv((password,), "utf-8")
    try:
        handle = pamela.pam_start(service, login, converse, "utf-8")
    except pamela.PAMError as why:
        return int(why.errno or 4)
    pamela.PAM_SET_ITEM(handle, PAM_FAIL_DELAY, cast(_noDelay, c_char_p))
    if host:
        pamela.PAM_SET_ITEM(handle, pamela.PAM_RHOST, host.encode())
    code = int(pamela.PAM_AUTHENTICATE(handle, 0))
    if code == 0:
        code = int(pamela.PAM_ACCT_MGMT(handle, 0))
    pamela.PAM_END(handle, code)
    return code


@CFUNCTYPE(None, c_int, c_uint, c_void_p)
def _noDelay(code: int, microseconds: int, data: Any) -> None:
    """Who has failed is kept waiting by us, where it costs no process."""


def main() -> None:
    """Answer until there are no more questions."""
    import pamela

    service = sys.argv[1]
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What modules say, or read, is not for us.
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    while line := questions.readline(LINE_LIMIT):
        asked = json.loads(line)
        code = ask(pamela, service, asked["login"], b64decode(asked["password"]), asked["host"])
        answers.write(b'{"code": %d}\n' % code)
        answers.flush()


if __name__ == "__main__":
    main()
