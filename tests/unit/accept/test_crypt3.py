"""L{umbcmail.accept.auth.crypt3}, and hashes in a file of users."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.accept.auth.crypt3 import Hash
from umbcmail.accept.auth.secret import secret
from umbcmail.accept.auth.users import parseUsers

# All of "s3cret!", and none made by libxcrypt but the last.
DOVEADM_SHA512 = (
    "$6$8FuGaHW382V1NOUo$ATgDTcLJ.NYYsjhYw5Ya2/U..sIEETozLpQGmsUt9mNhzjEUgzH26wjvm36EdmLlqWIxZQvz58/8ETuGciHyN0"
)
OPENSSL_SHA512 = "$6$abcdefgh$dlEzYPDdtfz.DhUwWFR5Q7m5r1ENAtCOQl3bnkUXXhWlXsKX1SBATO7STV2Acju43GrtCSKHmYpOBSIWFOPsw."
ROUNDS_SHA512 = (
    "$6$rounds=1000$R0p3uMrFJlQhQO9i$dAaY6cxneyeraeeXA5SIJTfFJrv/DLLKjxqZPjos6uotTmVfTgRKMKtzxW.hVjko5wFedWwjd5YH6Ga"
    "LiB.V.0"
)
DOVEADM_SHA256 = "$5$MvI9JQ2.ByMGsUxw$BlzFO6all5lDfrl9KNmGT..VrZ1abNdurYkcMQsWBj8"
ROUNDS_SHA256 = "$5$rounds=1000$3TlTFupWVnx36dXf$Fp3iV94rsw4bnGuKlMZaCjuahbE7HlxvNVT6UsqGPO1"
DOVEADM_BCRYPT = "$2y$05$UbgDBk1iePu0gwodaXc8ieG83ZyQFSkpfUTiga3.fBrq1ZxJFl7MK"
PYCA_BCRYPT = "$2b$05$P8SWFaz.6DhUAiEk08/.5OTBKWBMAXowVjIgOZZPUEv3GTJnV1oH6"
YESCRYPT = "$y$j75$abcdefghijklmnop$e19vJAWnq/FRtziPQBqo0a.NB3h2tDCpkwu.F6ZBSxB"

GOOD = {
    "SHA512-CRYPT": (DOVEADM_SHA512, OPENSSL_SHA512, ROUNDS_SHA512),
    "SHA256-CRYPT": (DOVEADM_SHA256, ROUNDS_SHA256),
    "BLF-CRYPT": (DOVEADM_BCRYPT, PYCA_BCRYPT),
}
ALL = [*(text for texts in GOOD.values() for text in texts), YESCRYPT]


class HashTests(SynchronousTestCase):
    """Hashes that others have made."""

    def test_verify(self) -> None:
        """The right password is told from wrong ones."""
        for text in ALL:
            found = Hash(text)
            self.assertTrue(found.verify(b"s3cret!"), text)
            for wrong in (b"", b"s3cret", b"s3cret!!", b"S3cret!", b"\xff" * 600):
                self.assertFalse(found.verify(wrong), text)

    def test_nul(self) -> None:
        """What stands behind a NUL is part of a password, so it is wrong."""
        for text in ALL:
            self.assertFalse(Hash(text).verify(b"s3cret!\0"))
            self.assertFalse(Hash(text).verify(b"s3cret!\0more"))

    def test_threads(self) -> None:
        """Several can be verified at the same time."""
        hashes = [Hash(text) for text in ALL] * 5
        with ThreadPoolExecutor(8) as pool:
            self.assertEqual([True] * len(hashes), list(pool.map(lambda each: each.verify(b"s3cret!"), hashes)))
            self.assertEqual([False] * len(hashes), list(pool.map(lambda each: each.verify(b"x"), hashes)))

    def test_bounds(self) -> None:
        """What would cost too much, or nothing, is refused when it is read."""
        for text in (
            PYCA_BCRYPT.replace("$05$", "$16$"),
            PYCA_BCRYPT.replace("$05$", "$03$"),
            PYCA_BCRYPT.replace("$05$", "$31$"),
            ROUNDS_SHA512.replace("rounds=1000", "rounds=999999999"),
            ROUNDS_SHA512.replace("rounds=1000", "rounds=5000001"),
            ROUNDS_SHA512.replace("rounds=1000", "rounds=999"),
            ROUNDS_SHA256.replace("rounds=1000", "rounds=0"),
            YESCRYPT.replace("j75", "jF5"),
            YESCRYPT.replace("j75", "j9T/////"),
        ):
            self.assertRaises(ValueError, Hash, text)

    def test_weak(self) -> None:
        """Kinds that can be guessed at in no time, cut hashes and others are none."""
        for text in (
            "",
            "s3cret!",
            "$1$aa$2PtxCS.ei0jou2gZ339Kp0",
            "$apr1$aaaaaaaa$NQZzfzJYCqkfEYyNQUxkt0",
            "aa5V9MSdgw5ec",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "*",
            "!" + OPENSSL_SHA512,
            OPENSSL_SHA512[:-1],
            OPENSSL_SHA512 + "x",
            OPENSSL_SHA512 + "\n",
            PYCA_BCRYPT.replace("$2b$", "$2x$"),
        ):
            self.assertRaises(ValueError, Hash, text)

    @given(st.text(max_size=60), st.sampled_from(["", "$6$", "$2b$05$", "$y$j9T$", "$6$rounds=", "{CRYPT}"]))
    def test_anything(self, text: str, before: str) -> None:
        """Nothing raises but C{ValueError}."""
        for make in (Hash, secret):
            try:
                make(before + text)
            except ValueError:
                pass


class FormsTests(SynchronousTestCase):
    """How hashes stand in files."""

    def test_schemes(self) -> None:
        """With Dovecot's schemes, with {CRYPT} for any, in any case, and bare."""
        for scheme, texts in GOOD.items():
            for text in texts:
                for before in (f"{{{scheme}}}", f"{{{scheme.lower()}}}", "{CRYPT}", ""):
                    found = secret(before + text)
                    self.assertTrue(found.verify(b"s3cret!"))
                    self.assertFalse(found.verify(b"x"))
                    self.assertIsNone(found.scramKeys(b"salt"))
        self.assertTrue(secret(YESCRYPT).verify(b"s3cret!"))

    def test_wrongScheme(self) -> None:
        """A scheme that is not that of the hash is a mistake, which does not show
        the hash."""
        for text in ("{BLF-CRYPT}" + DOVEADM_SHA512, "{SHA512-CRYPT}" + DOVEADM_SHA256, "{SHA512-CRYPT}x", "{SHA512}x"):
            error = self.assertRaises(ValueError, secret, text)
            self.assertNotIn("8FuGaHW", str(error))

    def test_passwdFile(self) -> None:
        """Files of Dovecot, shadow and htpasswd are taken as they are."""
        users = parseUsers(
            f"ann:{{SHA512-CRYPT}}{DOVEADM_SHA512}:1000:1000::/home/ann::userdb_mail=maildir:~/Maildir\n"
            f"ben:{{BLF-CRYPT}}{DOVEADM_BCRYPT}::::::\n"
            f"cid:{PYCA_BCRYPT}\n"
            f"dan:{YESCRYPT}:19000:0:99999:7:::\n"
        )
        for name in ("ann", "ben", "cid", "dan"):
            self.assertTrue(users[name].verify(b"s3cret!"), name)
            self.assertFalse(users[name].verify(b"s3cret!::::::"), name)

    def test_plain(self) -> None:
        """A password in clear may have colons, so fields behind one are a mistake and
        not part of it."""
        self.assertTrue(secret("{PLAIN}a:b:c").verify(b"a:b:c"))
        for text in ("{PLAIN}a:1000:1000::/home/a:", "{PLAIN}a::::::", "{PLAIN}a:1:2::/:/bin/sh:x=y"):
            error: Any = self.assertRaises(ValueError, secret, text)
            self.assertIn("passwd-file", str(error))

    def test_argon2(self) -> None:
        """What would fill gigabytes over and over is refused."""
        text = (
            "{ARGON2ID}$argon2id$v=19$m=%d,t=%d,p=1$YWFhYWFhYWFhYWFhYWFhYQ$Ebo1qvjEteFBKMYvDX7cYj1Nbg05OlK2PuPbKnw1Rks"
        )
        secret(text % (1 << 20, 4))
        self.assertTrue(secret(text[10:] % (19456, 2) + ":1:2::/::").verify(b"s3cret!"))
        for memory, passes in ((1 << 20, 5), (1 << 16, 999), ((1 << 20) + 1, 1)):
            self.assertRaises(ValueError, secret, text % (memory, passes))
