#!/usr/bin/env python3
"""How many adds of DRAC a second are answered, and how soon, with mail flowing or without.

    bench/dracload.py [--rate 10000] [--seconds 10] [--tcp] [--clients 8] [--state memory|sqlite]
                      [--mail 50 | --mail full] [--split] [--addresses 20000]

Starts umbcmail from this checkout (.venv, as script/bootstrap makes it) with a state and a spool of its own,
and, with --mail, Postfix's smtp-source and smtp-sink: so many sessions that send one message a second each, or
as many messages as go through.  --split runs the role drac in a process of its own, with the state shared.
Adds are sent when they are due, whatever has been answered by then (so a pause of the server is not hidden);
each is timed from when it was due.  The generator is a process of its own; what it was late by is shown too.
Only loopback is used.
"""
import argparse
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from harness import HOST, TICK, find_program, fixed_ports, machine_cpu, own_cpu, wait_port  # noqa: E402

ROOT = os.path.dirname(HERE)
CONFIG = """
[host]
name = "mx.example.org"
[domains]
local = []
[networks]
trusted = ["127.0.0.0/8"]
[spool]
url = "sqlite:{dir}/spool"
[state]
url = "{state}"
[log]
file = "{dir}/mail.log"
[drac]
listen = ["127.0.0.1"]
port = {drac}
rpcbind = false
clients = ["127.0.0.0/8"]
entries-per-client = 0
entries = 0
[agent.delivery]
connections-per-client = 1000
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface=127.0.0.1:backlog=1000"
[[route]]
domain = "*"
next-hops = ["127.0.0.1:{sink}"]
"""
HEAD = struct.Struct(">10I")
GRACE = 2.0
"""Seconds that are waited for the last answers."""


def message(xid, address):
    return HEAD.pack(xid, 0, 2, 900101, 1, 1, 0, 0, 0, 0) + address


class Wire:
    """The sockets of the clients, each with an address of its own."""

    def __init__(self, port, clients, stream):
        self.stream, self.sockets, self.rest = stream, [], {}
        for n in range(clients):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            s.bind((f"127.0.1.{n + 1}", 0))
            s.connect((HOST, port))
            if stream:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.setblocking(False)
            self.sockets.append(s)
            self.rest[s] = b""

    def send(self, n, octets):
        s = self.sockets[n % len(self.sockets)]
        if self.stream:
            octets = struct.pack(">I", 0x80000000 | len(octets)) + octets
        try:
            return s.send(octets) == len(octets)
        except BlockingIOError:
            return False

    def receive(self, wait):
        """Pairs of xid and status."""
        for s in select.select(self.sockets, [], [], wait)[0]:
            try:
                while True:
                    octets = s.recv(65536)
                    if not octets:
                        raise SystemExit("the server has closed a connection")
                    if not self.stream:
                        yield octets[:4], octets[-1] if len(octets) == 28 else 99
                        continue
                    octets = self.rest[s] + octets
                    at = 0
                    while len(octets) - at >= 32:
                        yield octets[at + 4:at + 8], octets[at + 31]
                        at += 32
                    self.rest[s] = octets[at:]
            except BlockingIOError:
                pass


def run_load(wire, rate, seconds, addresses):
    """Send, and time what comes back; returns (seconds of each answer, bad ones,
    not sent, lost, seconds by which sending was late)."""
    total = int(rate * seconds)
    dice = random.Random(1)
    due, taken, late, bad, unsent = {}, [], [], 0, 0
    begin, n, clock = time.monotonic(), 0, time.monotonic
    while n < total or (due and clock() < begin + seconds + GRACE):
        now = clock()
        until = min(total, int((now - begin) * rate) + 1)
        while n < until:
            xid = n.to_bytes(4, "big")
            number = dice.randrange(addresses)
            at = begin + n / rate
            due[xid] = at
            if wire.send(n, message(n, bytes([198, 18 + (number >> 16 & 1), number >> 8 & 255, number & 255]))):
                late.append(now - at)
            else:
                unsent += 1
                del due[xid]
            n += 1
        for xid, status in wire.receive(0.0002):
            at = due.pop(xid, None)
            if at is None or status:
                bad += 1
            else:
                taken.append(clock() - at)
    return taken, bad, unsent, len(due), late


def at(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] * 1000 if values else float("nan")


def cpu(pid):
    """Seconds of CPU that a process has used."""
    words = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def own(processes):
    """Seconds of CPU of the generator and all that it has started."""
    return own_cpu() + sum(cpu(process.pid) for process in processes)


def start(folder, config, roles, log):
    argv = [os.path.join(ROOT, ".venv", "bin", "twistd"), "-n", f"--pidfile={folder}/{log}.pid", "umbcmail", "run",
            "--config", config]
    for role in roles:
        argv += ["--role", role]
    with open(os.path.join(folder, log), "ab") as out:
        env = dict(os.environ, PYTHONPATH=ROOT)
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env=env)


def wait_drac(port, log):
    end = time.time() + 15
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((HOST, port))
        s.settimeout(0.2)
        while time.time() < end:
            try:
                s.send(HEAD.pack(1, 0, 2, 900101, 1, 0, 0, 0, 0, 0))
                s.recv(100)
                return
            except OSError:
                time.sleep(0.05)
    raise SystemExit("the server does not answer: " + open(log).read()[-2000:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--addresses", type=int, default=20000, help="different ones, up to 131072")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--state", default="sqlite", choices=("memory", "sqlite"))
    parser.add_argument("--mail", default="0", help="messages a second, or full")
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--profile", help="file for cProfile of the process that serves DRAC")
    given = parser.parse_args()
    processes = []
    with tempfile.TemporaryDirectory(prefix="dracload-") as folder:
        try:
            drac, port, sink = fixed_ports(3)
            config = os.path.join(folder, "umbcmail.toml")
            state = "memory:" if given.state == "memory" else f"sqlite:{folder}/state"
            with open(config, "w") as file:
                file.write(CONFIG.format(dir=folder, drac=drac, port=port, sink=sink, state=state))
            if given.split:
                server = start(folder, config, ["drac"], "drac.log")
                processes += [server, start(folder, config, ["delivery", "queue", "schedule"], "mail-process.log")]
            else:
                server = start(folder, config, [], "drac.log")
                processes.append(server)
            wait_drac(drac, os.path.join(folder, "drac.log"))
            if not wait_port(port, 15):
                raise SystemExit("no port for mail")
            source = None
            if given.mail != "0":
                user = ["-u", "root"] if os.geteuid() == 0 else []
                processes.append(subprocess.Popen([find_program("smtp-sink"), *user, f"{HOST}:{sink}", "500"]))
                if not wait_port(sink, 10):
                    raise SystemExit("no sink")
                sessions = ["-s", "10"] if given.mail == "full" else ["-s", given.mail, "-w", "1"]
                source = subprocess.Popen([find_program("smtp-source"), "-d", *sessions, "-m", "1000000", "-l", "4096",
                                           "-f", "bench@from.test", "-t", "user@sink.test", f"{HOST}:{port}"],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                processes.append(source)
                time.sleep(2)
            wire = Wire(drac, given.clients, given.tcp)
            run_load(wire, given.rate, 1, given.addresses)  # warm
            accepted = open(f"{folder}/mail.log").read().count(" accepted ")
            used, ours, all, began = cpu(server.pid), own(processes), machine_cpu()[0], time.monotonic()
            taken, bad, unsent, lost, late = run_load(wire, given.rate, given.seconds, given.addresses)
            passed = time.monotonic() - began
            used = cpu(server.pid) - used
            others = machine_cpu()[0] - all - (own(processes) - ours)
            time.sleep(0.2)  # the log is written in batches
            accepted = open(f"{folder}/mail.log").read().count(" accepted ") - accepted
            print(f"{'TCP' if given.tcp else 'UDP'}, state {given.state}, {given.clients} clients, "
                  f"{given.addresses} addresses, mail {given.mail}{', two processes' if given.split else ''}: "
                  f"{given.rate}/s asked, {len(taken) / given.seconds:.0f}/s answered, "
                  f"p50 {at(taken, .5):.2f} p90 {at(taken, .9):.2f} p99 {at(taken, .99):.2f} "
                  f"p99.9 {at(taken, .999):.2f} max {at(taken, 1):.1f} ms; "
                  f"bad {bad}, lost {lost}, not sent {unsent}; sending late p99 {at(late, .99):.2f} ms; "
                  f"CPU of the server {used / passed:.0%}, of others on the machine {others / passed:.0%}"
                  + (f"; {accepted / passed:.0f} messages/s" if source else ""))
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()


if __name__ == "__main__":
    main()
