import glob
import sqlite3
import time

from base import *

CONFIG = """
[host]
name = "mx.example.org"
[domains]
local = ["local.test"]
[networks]
trusted = ["127.0.0.0/8"]
[spool]
url = "sqlite:{dir}/spool"
[state]
url = "sqlite:{dir}/state"
[log]
file = "{dir}/mail.log"
[agent.delivery]
mode = "{mode}"
size-limit = "200MiB"
connections-per-client = 6000
connections = 6000
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=1000"
[queue.local]
courier = "maildir"
[courier.maildir]
base = "{maildirs}/%user"
[[route]]
domain = "down.test"
next-hops = ["127.0.0.1:{down}"]
[[route]]
domain = "local.test"
courier = "maildir"
[[route]]
domain = "*"
next-hops = ["127.0.0.1:{sink}"]
"""


class Umbcmail(Adapter):
    """This project, from its checkout.  UMBCMAIL_PYTHON is the interpreter that
    has what it needs; .venv/bin/python of the checkout otherwise."""

    name = "umbcmail"
    mode = "interactive"
    promise = "the next hop has said 250, or the message is on the spool, fsynced"
    settings = "client limits raised; logs to a file; one process"

    def cache_name(self):
        return "umbcmail"

    def setup(self):
        self.root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.python = os.environ.get("UMBCMAIL_PYTHON", os.path.join(self.root, ".venv", "bin", "python"))

    def start(self):
        self.make_maildirs()
        values = {name: getattr(self, name) for name in ("dir", "mode", "port", "maildirs", "down", "sink")}
        self.write("umbcmail.toml", CONFIG.format(**values))
        twistd = os.path.join(os.path.dirname(self.python), "twistd")
        self.spawn([twistd, "-n", "--pidfile=", "umbcmail", "run", "--config", self.path("umbcmail.toml")],
                   env=dict(os.environ, PYTHONPATH=self.root), cwd=self.dir)

    def queue_size(self):
        try:
            db = sqlite3.connect(f"file:{self.path('spool', 'spool.db')}?mode=ro", uri=True, timeout=5)
            with contextlib.closing(db):
                return db.execute("SELECT count(*) FROM entry").fetchone()[0]
        except sqlite3.Error:
            return 0

    def flush(self):
        self.run([self.python, "-m", "umbcmail", "queue", "retry", "--all", "--config", self.path("umbcmail.toml")],
                 env=dict(os.environ, PYTHONPATH=self.root))


class UmbcmailBackground(Umbcmail):
    name = "umbcmail-b"
    mode = "background"
    promise = "message is in the spool, fsynced (group commit); delivery begins at once"


LDA = """
[lda]
listen = "{dir}/lda"
"""


class UmbcmailLDA(Umbcmail):
    """The delivery agent as nobody, and the local delivery agent as root in a process
    of its own, which delivers as each user.  The users are known by nss_wrapper."""

    name = "umbcmail-lda"
    settings = "client limits raised; logs to files; agent and lda in two processes; users in a file"

    def setup(self):
        super().setup()
        found = glob.glob("/usr/lib/*/libnss_wrapper.so")
        if not found:
            raise SystemExit("libnss_wrapper.so not found (Debian: apt-get install libnss-wrapper)")
        self.wrapper = found[0]

    def start(self):
        passwd = group = ""
        for i in range(50):
            home, uid = self.path("homes", f"user{i}"), 50000 + i
            for part in ("", "Maildir", "Maildir/tmp", "Maildir/new", "Maildir/cur"):
                os.makedirs(os.path.join(home, part), mode=0o700, exist_ok=True)
                os.chown(os.path.join(home, part), uid, uid)
            os.symlink(os.path.join(home, "Maildir"), os.path.join(self.maildirs, f"user{i}"))
            passwd += f"user{i}:x:{uid}:{uid}::{home}:/bin/sh\n"
            group += f"user{i}:x:{uid}:\n"
        os.chmod(self.dir, 0o755)
        self.write("passwd", passwd)
        self.write("group", group)
        values = {name: getattr(self, name) for name in ("dir", "mode", "port", "maildirs", "down", "sink")}
        text = CONFIG.replace('courier = "maildir"', 'courier = "lmtp"\nnext-hops = ["unix:{dir}/lda"]')
        self.write("umbcmail.toml", (text + LDA).format(**values))
        twistd = os.path.join(os.path.dirname(self.python), "twistd")
        run = [twistd, "-n", "--pidfile=", "umbcmail", "run", "--config", self.path("umbcmail.toml")]
        env = dict(os.environ, PYTHONPATH=self.root)
        wrapped = dict(env, LD_PRELOAD=self.wrapper, NSS_WRAPPER_PASSWD=self.path("passwd"),
                       NSS_WRAPPER_GROUP=self.path("group"))
        self.spawn([*run, "--role", "lda", "--set", f"log.file={self.path('lda.log')}"], env=wrapped, cwd=self.dir)
        end = time.time() + 10
        while not os.path.exists(self.path("lda")) and time.time() < end:
            time.sleep(0.05)
        self.spawn(run, env=env, cwd=self.dir)


ADAPTERS = [Umbcmail, UmbcmailBackground, UmbcmailLDA]
