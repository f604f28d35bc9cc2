"""Large messages go from one mail system to the next by BDAT (RFC 3030)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, route, running
from tests.system.peers import Sink, send
from tests.system.programs import until
from tests.system.servers import Dovecot


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("mode", ["interactive", "background"])
def test_octetForOctet(tmp_path: Path, pem: tuple[Path, Path], sink: Sink, mode: str, tls: bool) -> None:
    """In memory or a file: what comes out is what went in, dots and all, and the log
    says which way it went; small mail goes by DATA."""
    contents = [b"Subject: x\r\n\r\n" + b".%d\r\n.\r\n..\r\n" * n % tuple(range(n)) for n in (10, 10_000, 300_000)]
    assert [min(len(content) >> 16, 16) for content in contents] == [0, 2, 16]
    secure = f'[tls]\ncertificate = "{pem[0]}"\nkey = "{pem[1]}"\n' if tls else ""
    with (
        running(Umbcmail(tmp_path / "second", route("next.test", sink.port) + secure)) as second,
        running(
            Umbcmail(tmp_path / "first", route("next.test", second.port), [f'agent.delivery.mode="{mode}"'])
        ) as first,
    ):
        for number, content in enumerate(contents, 1):
            assert send(first.port, content, "a@next.test").startswith(b"250")
            until(lambda number=number: len(sink.messages) == number, "it has passed", 30)
            assert sink.messages[-1].content.endswith(content)
            assert (b"with ESMTPS id" in sink.messages[-1].content[:1000]) is tls
        first.emptied()
        until(lambda: first.log().count("end of DATA") + first.log().count("BDAT LAST") == 3, "all is logged")
        assert first.log().count("BDAT LAST") == 2


def test_dovecot(tmp_path: Path) -> None:
    """Dovecot's LMTP takes chunks too, and answers for each recipient after the last."""
    content = b"Subject: x\r\n\r\n" + b".\r\nline\r\n" * 200_000
    dovecot = Dovecot()
    try:
        with running(Umbcmail(tmp_path, route("next.test", f"unix:{dovecot.socket}", "lmtp"))) as mail:
            assert send(mail.port, content, "a@next.test", "b@next.test").startswith(b"250")
            mail.emptied()
            until(lambda: mail.log().count("BDAT LAST") == 2, "all is logged")
        files = [path for path in dovecot.homes.rglob("*") if path.is_file() and path.parent.name == "new"]
        assert len(files) == 2
        assert all(path.read_bytes().endswith(content.replace(b"\r\n", b"\n")) for path in files)
    finally:
        dovecot.stop()
