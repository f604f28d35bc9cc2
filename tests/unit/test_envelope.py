"""L{umbcmail.envelope}: what the spool keeps of it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.envelope import Envelope, Recipient

WHOM = (Recipient("a@x.test"),)


class RecordTests(SynchronousTestCase):
    """As JSON."""

    def test_score(self) -> None:
        """The spam score is kept; what an older version has written has none."""
        whole = Envelope("m1", "s@z.test", WHOM, 1.0, score=12.5)
        record = json.loads(json.dumps(whole.toRecord()))
        self.assertEqual(Envelope.fromRecord(record, WHOM), whole)
        del record["score"]
        self.assertIsNone(Envelope.fromRecord(record, WHOM).score)
