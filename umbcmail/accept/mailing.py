"""The part of a session that is about a message: MAIL, RCPT, DATA, BDAT, the end.

The base of `dialogue`, which knows the other commands; `transaction` holds what has
been said of the message, `handover` takes it at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from umbcmail import reply
from umbcmail.accept.chunks import READ_CHUNK, Chunk, parseChunk, refusedChunk
from umbcmail.accept.fixups import checkSender
from umbcmail.accept.grammar import CommandError, parametersOf, parseMail, parseRcpt
from umbcmail.accept.handover import Answered, Rules, handOver
from umbcmail.accept.leniency import Leniency
from umbcmail.accept.transaction import Transaction
from umbcmail.envelope import Client, Envelope, Recipient
from umbcmail.maillog import MailLog
from umbcmail.reply import Reply
from umbcmail.verdict import Answer, Verdict


class Mailing:
    """The transactions of one session.

    @ivar client: what is known of the client by now.
    @ivar messages: how many messages have been taken.
    @ivar mechanism: by which it has logged in, where we know.
    @ivar hold: see L{umbcmail.accept.body.Body}; set by the session.
    """

    def __init__(self, id: str, rules: Rules, client: Client, log: MailLog) -> None:
        self.id = id
        self.client = client
        self.mechanism = ""
        self.messages = 0
        self.hold: Callable[[bool], None] = lambda on: None
        self._rules = rules
        self._log = log
        self._fruitless = 0
        self._offered: frozenset[str] = frozenset()
        self._transaction: Transaction | None = None
        self._chunk: Chunk | None = None
        self._mails = 0
        filters = rules.filters
        self._filtering = filters.session(id, rules.port, client) if filters is not None else None
        self._leniency = Leniency(rules.leniencies, self._lenient)

    def counted(self, answer: Reply, line: bytes) -> Reply:
        """A no: log it, and count it against the client."""
        raise NotImplementedError

    def octets(self, data: bytes) -> None:
        """Decoded octets of the message, or of a chunk."""
        transaction = self._transaction
        if transaction is not None:
            try:
                transaction.add(data)
            except Exception:
                transaction.refuse(self._bug(Failure(), "data"))

    @property
    def chunkSize(self) -> int:
        """Octets of the chunk that is to be read now."""
        return self._chunk.size if self._chunk is not None else 0

    def endOfData(self, bare: bool) -> Answered:
        """The dot has come, or the last octet of a chunk.

        @param bare: there were bare CR or LF, and they have not been mended.
        """
        if self._chunk is not None:
            refusal = self._endOfChunk()
            if refusal is not None:
                return refusal
        transaction, self._transaction = self._transaction, None
        body = transaction.body if transaction is not None else None
        envelope = transaction.envelope if transaction is not None else None
        if transaction is None or body is None or envelope is None:  # a bug, which has been logged
            return reply.LOCAL_ERROR
        if self._rules.isSubmission:
            body.mend()
        envelope = replace(envelope, size=body.contentSize)
        try:
            answer = handOver(self._rules, self._log, body, envelope, bare, self._filtering)
        except Exception:
            body.abort()
            self._filtered()
            return self._bug(Failure(), "end of data")
        if isinstance(answer, Reply):
            return self._settled(answer, envelope, transaction)
        answer.addErrback(self._bug, "end of data")
        return answer.addCallback(self._settled, envelope, transaction)

    def _reset(self) -> None:
        """Forget the transaction."""
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None
            self._filtered()

    # Filters

    def _filtered(self) -> None:
        """They have nothing more to say of this message."""
        if self._filtering is not None:
            self._filtering.ended()

    def _unlessRefused(
        self, asked: Reply | Deferred[Reply | None] | None, go: Callable[[Reply | None], Reply], line: str
    ) -> Answered:
        """What comes of the word of the filters.

        @param asked: it.
        @param go: makes the answer of it.
        @param line: the command, for the log.
        """
        if not isinstance(asked, Deferred):
            return go(asked)

        def said(refusal: Reply | None) -> Reply:
            answer = go(refusal)
            return self.counted(answer, line.encode()) if answer.code >= 400 else answer

        return asked.addCallback(said)

    def _mailFrom(self, argument: str) -> Answered:
        if not self.client.helo:
            raise CommandError(reply.NEED_HELO)
        if self._transaction is not None:
            raise CommandError(reply.NESTED_MAIL)
        self._mails += 1
        if self._rules.mailLimit and self._mails > self._rules.mailLimit:
            return reply.TOO_MANY_MESSAGES
        try:
            mail = parseMail(argument, self._offered)
        except CommandError as why:
            mail = self._leniency.parsed(argument, lambda text: parseMail(text, self._offered), why)
        if mail.size > self._rules.sizeLimit:
            raise CommandError(reply.MESSAGE_TOO_BIG)
        if self._rules.isFull(mail.size):
            return reply.NO_STORAGE  # before the message has come for nothing (RFC 1870 section 6.1)
        if self._rules.ownsSender is not None:
            checkSender(self._rules.ownsSender, self.client.login, mail.sender)
        self._transaction = Transaction(mail, self._rules)
        if self._filtering is None:
            return reply.SENDER_OK
        id = f"{self.id}-{self.messages + 1}"
        asked = self._filtering.mail(id, self.client, self.mechanism, mail.sender, parametersOf(mail))
        return self._unlessRefused(asked, self._senderAnswer, f"MAIL FROM:<{mail.sender}>")

    def _senderAnswer(self, refusal: Reply | None) -> Reply:
        if refusal is not None:
            self._reset()
        return refusal or reply.SENDER_OK

    def _lenient(self, name: str) -> None:
        self._log.lenient(self.id, self.client, name)

    def _rcptTo(self, argument: str) -> Answered:
        transaction = self._transaction
        if transaction is None:
            raise CommandError(reply.NEED_MAIL)
        if transaction.isChunked:
            raise CommandError(reply.CHUNKS_BEGUN)
        mail = transaction.mail
        try:
            recipient = parseRcpt(argument, self._offered, mail.smtputf8)
        except CommandError as why:
            recipient = self._leniency.parsed(argument, lambda text: parseRcpt(text, self._offered, mail.smtputf8), why)
        if transaction.taken >= self._rules.recipientLimit:
            return reply.TOO_MANY_RECIPIENTS
        verdict = self._rules.policy.judge(self.client, mail.sender, recipient)
        if isinstance(verdict, Verdict):
            return self._judged(verdict, recipient)
        return verdict.addCallback(self._judgedLater, recipient)

    def _judged(self, verdict: Verdict, recipient: Recipient) -> Answered:
        if self._filtering is None or verdict.answer is Answer.DISCARD:
            return self._taken(verdict, recipient)
        line = f"RCPT TO:<{recipient.address}>"
        if verdict.answer in (Answer.PERMIT, Answer.HOLD):
            asked = self._filtering.recipient(recipient)
            return self._unlessRefused(asked, lambda refusal: refusal or self._taken(verdict, recipient), line)
        answer = self._taken(verdict, recipient)
        return self._unlessRefused(self._filtering.refused(recipient, answer), lambda _: answer, line)

    def _taken(self, verdict: Verdict, recipient: Recipient) -> Reply:
        if self._transaction is not None and self._transaction.take(recipient, verdict):
            self._fruitless -= 1  # they have a limit of their own
            return reply.RECIPIENT_OK
        return verdict.reply or reply.LOCAL_ERROR

    def _judgedLater(self, verdict: Verdict, recipient: Recipient) -> Answered:
        answer = self._judged(verdict, recipient)
        if isinstance(answer, Deferred):
            return answer
        return self.counted(answer, f"RCPT TO:<{recipient.address}>".encode()) if answer.code >= 400 else answer

    def _data(self, argument: str) -> Answered:
        """RFC 5321 section 4.1.1.4."""
        if argument:
            raise CommandError(reply.NO_PARAMETERS)
        transaction = self._transaction
        if transaction is None:
            raise CommandError(reply.NEED_MAIL)
        if transaction.isChunked:
            raise CommandError(reply.CHUNKS_BEGUN)
        if not transaction.taken:
            raise CommandError(reply.NEED_RCPT)
        if self._filtering is not None:
            return self._unlessRefused(
                self._filtering.data(), lambda refusal: self._dataAnswer(transaction, refusal), "DATA"
            )
        return self._dataAnswer(transaction, None)

    def _dataAnswer(self, transaction: Transaction, refusal: Reply | None) -> Reply:
        if refusal is not None:
            self._reset()
            return refusal
        self._begin(transaction)
        return reply.START_DATA

    def _begin(self, transaction: Transaction) -> None:
        self.messages += 1
        transaction.begin(f"{self.id}-{self.messages}", self._rules, self.client, self.hold)

    def _bdat(self, argument: str) -> Answered:
        """RFC 3030 section 2.  All but the first refusal is made when the octets
        of the chunk have been read."""
        chunk = parseChunk(argument)
        transaction = self._transaction
        if "CHUNKING" not in self._offered:
            raise CommandError(reply.NEED_EHLO)
        if transaction is None:
            raise CommandError(reply.NEED_MAIL)
        if transaction.isFirstChunk():
            self._begin(transaction)
            transaction.beginChunks(self._rules.normalises(self.client.address))
        transaction.checkChunk(chunk.size, self._rules.sizeLimit)
        self._chunk = chunk
        return READ_CHUNK

    def _refused(self, answer: Reply, line: bytes) -> Reply:
        """A BDAT that can't be taken: its octets are read all the same, or whoever
        wrote the message would give the next commands."""
        chunk = refusedChunk(line, answer, self._rules.sizeLimit)
        if isinstance(chunk, Reply):
            return self.counted(chunk, line)
        if self._transaction is not None:
            self._transaction.refuse(answer)
        self._chunk = chunk
        return READ_CHUNK

    def _endOfChunk(self) -> Reply | None:
        """What is said to a chunk; L{None}: it was the last one, and all is well
        so far."""
        chunk, self._chunk = self._chunk, None
        transaction = self._transaction
        assert chunk is not None
        refusal = chunk.refusal
        if refusal is None and transaction is not None:
            refusal = transaction.endOfChunk(chunk.last)
        if refusal is not None:
            if chunk.last:
                self._reset()
            return self.counted(refusal, chunk.line)
        if chunk.last:
            return None
        if chunk.size:
            self._fruitless -= 1  # the size limit is theirs
        return reply.CHUNK_OK

    def _settled(self, answer: Reply, envelope: Envelope, transaction: Transaction) -> Reply:
        """Log what the client is going to be told."""
        self._filtered()
        tally = self._rules.tally
        if answer.isSuccess:
            self._fruitless = 0
            tally.accepted += 1
            tally.recipients += len(envelope.recipients)
            tally.octets += envelope.size
            self._log.accepted(envelope, answer)
            for recipient, why in transaction.discarded:
                self._log.discarded(envelope.id, recipient.address, why)
        else:
            if answer.code >= 500:
                tally.refused += 1
            else:
                tally.delayed += 1
            self._log.rejected(envelope.id, self.client, "end of DATA", answer, sender=f"<{envelope.sender}>")
        return answer

    def _bug(self, failure: Failure, where: str) -> Reply:
        self._log.bug(self.id, where, failure)
        return reply.LOCAL_ERROR
