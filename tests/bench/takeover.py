#!/usr/bin/env python3
"""How long until the next durable message when the process that writes is killed: two processes on one PostgreSQL,
clients who send through both; one is killed with kill -9, again and again, and the time is taken until a message that
was sent through the other one after the kill has been acknowledged.

    MYELIN_BUILD=build tests/bench/takeover.py [KILLS] [SENDERS A PROCESS]"""

import os
import shutil
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from myelin import Server, wait_for  # noqa: E402
from postgres import Postgres  # noqa: E402


class Sender:
    """Sends one message after the other through one server, for as long as that is there."""

    def __init__(self, server, client, room, turn):
        self.client, self.room, self.turn = client, room, turn
        self.acknowledged = []		# (when it was sent, when it was acknowledged)
        self.n = 0
        self.over = False
        client.server = server
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            self.n += 1
            began = time.monotonic()
            try:
                self.client.send(self.room, "message", txn="%d-%d" % (self.turn, self.n))
            except (OSError, AssertionError, ValueError):
                time.sleep(0.005)
                continue
            self.acknowledged.append((began, time.monotonic()))

    def stop(self):
        self.over = True
        self.thread.join()


def first_after(senders, moment):
    return min((done for s in senders for began, done in s.acknowledged if began >= moment), default=None)


def measure(servers, kills, each):
    times = []
    people = [[s.register("p") for _ in range(each)] for s in servers]
    rooms = [[p.create_room() for p in side] for side in people]
    for k in range(kills):
        senders = [[Sender(s, p, r, k) for p, r in zip(side, there)] for s, side, there in zip(servers, people, rooms)]
        for side in senders:
            wait_for(lambda: sum(len(s.acknowledged) for s in side) > 20 * each, "the load", 60)
        dies, lives = k % 2, 1 - k % 2
        moment = time.monotonic()
        servers[dies].kill()
        wait_for(lambda: first_after(senders[lives], moment), "a message through the other process", 60)
        times.append(1000 * (first_after(senders[lives], moment) - moment))
        for s in senders[0] + senders[1]:
            s.stop()
        servers[dies].start()
    return times


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    folder = tempfile.mkdtemp(prefix="myelin-takeover-")
    postgres = Postgres()
    servers = []
    try:
        url = postgres.database()
        for i in range(2):
            servers.append(Server("%s/%d" % (folder, i), url))
            if i > 0:
                shutil.copy(servers[0].folder + "/signing.key", servers[1].folder + "/signing.key")
            servers[i].start()
        times = measure(servers, kills, each)
        print("%d kills, %d senders a process: next durable message after %.1f ms (median), %.1f ms (most)"
              % (kills, each, statistics.median(times), max(times)))
    finally:
        for s in servers:
            s.stop()
        postgres.remove()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
