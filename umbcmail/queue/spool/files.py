"""Large content as files, and the folder of the spool.

C{incoming/<owner>/<id>} is content that is being received, C{content/<id>} is that
of a message which is committed.  A file is fsynced, then appears in C{content/},
then its row is committed; it goes after its row has gone.  So a row never lacks
its file, and a file without a row is rubbish that C{recover} finds.  All functions
here wait for the disk and are called in threads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence

from umbcmail.content import FileContent
from umbcmail.entry import ContentDamaged, SpoolError
from umbcmail.envelope import Envelope
from umbcmail.interfaces import IContent
from umbcmail.queue.spool.errors import spoolError
from umbcmail.queue.spool.owners import OwnerLock
from umbcmail.queue.spool.records import checkId

Large = list[tuple[str, FileContent]]
"""Ids of messages and their contents, of those that are in files."""

ORPHAN_AGE = 3600.0
"""Seconds after which a file without a message is not one that is just being
committed."""


class SpoolFolder:
    """The folder.

    @ivar database: path of the database.
    @ivar incoming: folder of the content that this owner receives.
    """

    def __init__(self, path: str, owner: str) -> None:
        self.path = path = os.path.abspath(path)  # a daemon changes its folder
        self.database = os.path.join(path, "spool.db")
        self.incoming = os.path.join(path, "incoming", owner)
        self._allIncoming = os.path.join(path, "incoming")
        self._content = os.path.join(path, "content")
        self._owners = os.path.join(path, "owners")
        self._lock = OwnerLock(self._owners, owner)

    # Life and death

    def open(self) -> None:
        """Make what is missing, and be alive.

        @raise SpoolError: the folder can't be used.
        """
        try:
            if not os.path.isdir(self.path):
                os.makedirs(self.path, 0o700, exist_ok=True)  # another process may make it, too
                syncFolder(os.path.dirname(self.path))
            for folder in (self._allIncoming, self._content, self._owners):
                os.makedirs(folder, 0o700, exist_ok=True)
            self._lock.takeSoon()
            shutil.rmtree(self.incoming, ignore_errors=True)  # of a former life under the same name
            os.makedirs(self.incoming, 0o700)
            syncFolder(self.path)
        except OSError as why:
            self._lock.letGo()
            raise spoolError(why) from why

    def close(self) -> None:
        """Be dead."""
        try:
            os.rmdir(self.incoming)
        except OSError:
            pass  # something is left in it: the next `recover` removes it
        try:
            self._lock.bury()
        except OSError as why:
            raise spoolError(why) from why

    def abandon(self) -> None:
        """Be dead as after a crash."""
        self._lock.letGo()

    def dead(self, names: Iterable[str]) -> list[OwnerLock]:
        """Lock the owners that are dead: of these names, and of those that have
        left something in the folder.

        @return: the locks, for L{bury}.
        """
        found = {*names, *os.listdir(self._owners), *os.listdir(self._allIncoming)}
        locks = [OwnerLock(self._owners, name) for name in sorted(found - {self._lock.owner}) if isName(name)]
        try:
            return [lock for lock in locks if lock.take()]
        except BaseException:
            self.leave(locks)
            raise

    def bury(self, locks: Sequence[OwnerLock]) -> None:
        """Remove what dead owners have left."""
        for lock in locks:
            shutil.rmtree(os.path.join(self._allIncoming, lock.owner), ignore_errors=True)
            lock.bury()

    def leave(self, locks: Sequence[OwnerLock]) -> None:
        """Let dead owners lie, the next C{recover} tries again."""
        for lock in locks:
            lock.letGo()

    # Content

    def contentPath(self, name: str) -> str:
        """Where the content of a message is."""
        return os.path.join(self._content, name)

    def keepAll(self, contents: Large) -> None:
        """Make contents stable, before their rows are committed.

        @param contents: ids of messages and their contents.
        @raise SpoolError: it failed, and all of these files are gone.
        """
        kept: list[str] = []
        try:
            for id, content in contents:
                self._keep(id, content)
                kept.append(id)
            syncFolder(self._content)
        except (OSError, SpoolError) as why:
            self.remove(kept)
            for _, content in contents:
                if self.isIncoming(content):
                    removeFile(content.path)
            raise spoolError(why) from why

    def _keep(self, id: str, content: FileContent) -> None:
        source, isIncoming = content.path, self.isIncoming(content)
        if not isIncoming:
            # Of another message: it stays there, and this one gets its own.
            source = os.path.join(self.incoming, id + ".copy")
            shutil.copyfile(content.path, source)
        try:
            syncFile(source, content.size)
            # A link and not a rename: if the id is in use, that other content must not be overwritten.
            os.link(source, self.contentPath(id))
            if isIncoming:
                content.path = self.contentPath(id)  # an attempt may be reading it
        finally:
            removeFile(source)

    def isIncoming(self, content: FileContent) -> bool:
        """Whether a content has not been committed yet, and is ours."""
        return os.path.dirname(content.path) == self.incoming

    def remove(self, names: Iterable[str]) -> None:
        """Remove content of messages that are no more."""
        for name in names:
            removeFile(self.contentPath(name))

    def check(self, name: str, size: int) -> str:
        """@return: the path of a content.

        @raise ContentDamaged: it is not there, or not whole.
        @raise SpoolError: it can't be looked at.
        """
        path = self.contentPath(name)
        try:
            found = os.stat(path).st_size
        except FileNotFoundError as why:
            raise ContentDamaged(str(why)) from why
        except OSError as why:
            raise spoolError(why) from why
        if found != size:
            raise ContentDamaged(f"{path} has {found} octets instead of {size}")
        return path

    def old(self, now: float) -> list[str]:
        """Names of content that was committed, or was about to be, long ago.

        The time of the link counts (C{st_ctime}), not that of the last octet: a
        message may have waited long for its filter."""
        with os.scandir(self._content) as found:
            return [file.name for file in found if file.stat().st_ctime < now - ORPHAN_AGE]


def isName(name: str) -> bool:
    """Whether a name can be that of a file in a folder of ours."""
    return bool(name) and "/" not in name and "\0" not in name and not name.startswith(".")


def removeFile(path: str) -> None:
    """Remove a file that need not be there.  An error is not worth a failure: it
    would stay as an orphan, and C{recover} tries again."""
    try:
        os.unlink(path)
    except OSError:
        pass


def syncFile(path: str, size: int) -> None:
    """@raise SpoolError: it does not have that many octets."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd).st_size
        if found != size:
            raise SpoolError(f"{path} has {found} octets instead of {size}")
        os.fsync(fd)
    finally:
        os.close(fd)


def syncFolder(path: str) -> None:
    """What has been made or removed in a folder is stable after this."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def largeOf(messages: list[tuple[Envelope, IContent]]) -> Large:
    """Those whose content is in a file.

    @raise SpoolError: it is of no kind that we know.
    """
    large: Large = []
    for envelope, content in messages:
        if isinstance(content, FileContent):
            large.append((checkId(envelope.id), content))
        elif content.data is None:
            raise SpoolError("this content is neither in memory nor in a file")
    return large
