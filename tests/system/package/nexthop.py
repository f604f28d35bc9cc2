"""A next hop for the test of the package: keeps what it gets in files.

nexthop.py PORT FOLDER
"""

import os
import socketserver
import sys
import tempfile


class Session(socketserver.StreamRequestHandler):
    """A session of SMTP."""

    def handle(self):
        """All of it."""
        self.wfile.write(b"220 next.test ESMTP\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go\r\n")
                handle, path = tempfile.mkstemp(dir=sys.argv[2], prefix=".")
                with os.fdopen(handle, "wb") as file:
                    for text in iter(self.rfile.readline, b".\r\n"):
                        file.write(text)
                os.rename(path, path.replace("/.", "/"))
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return


class Server(socketserver.ThreadingTCPServer):
    """Listens."""

    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
