#!/usr/bin/env python3
"""Syncs that wait: so many over several processes on one PostgreSQL, what they cost in memory, and how soon those whom a
message concerns have it, while all others sleep on.

    MYELIN_BUILD=build tests/bench/waiting.py [CONNECTIONS] [PROCESSES] [RECEIVERS]

A receiver is a member of one room and waits once; everybody else waits in hundreds of connections a user. Connections
come from several addresses of 127.0.0.0/8, for each has but 28,000 ports, and from several processes, for each may open
so many files only. Both ends are here, so that the machine holds every socket twice; as root the limit of files is raised
as far as the kernel lets it (fs.nr_open)."""

import multiprocessing
import os
import resource
import select
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from myelin import Server, wait_for  # noqa: E402
from postgres import Postgres  # noqa: E402

EACH = 10000			# connections of one process of ours, and of one source address


def raise_limit(wanted):
    with open("/proc/sys/fs/nr_open") as f:
        most = int(f.read())
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, wanted), max(hard, min(most, wanted))))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def sync_request(token, since):
    path = "/_matrix/client/v3/sync?timeout=3600000&since=" + urllib.parse.quote(since)
    return ("GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % (path, token)).encode()


def hold(address, jobs, pipe):
    """In a process of its own: opens a connection for each job (port, request, whether it receives), tells when all are
    there, and then who was answered, and when."""
    poll, socks = select.epoll(), {}
    for port, request, receives in jobs:
        s = socket.socket()
        s.bind((address, 0))
        s.connect(("127.0.0.1", port))
        s.sendall(request)
        s.setblocking(False)
        poll.register(s.fileno(), select.EPOLLIN)
        socks[s.fileno()] = (s, receives)
    pipe.send(("there", len(socks)))
    right, wrong, times = 0, 0, []
    expected = sum(receives for _, _, receives in jobs)
    while True:
        for fd, _ in poll.poll(0.05):
            now = time.monotonic()
            s, receives = socks[fd]
            poll.unregister(fd)
            if receives:
                right += 1
                times.append(now)
            else:
                wrong += 1
        if pipe.poll():
            pipe.recv()
            pipe.send((right, expected, wrong, times))
            return


def people(servers, n):
    """n accounts, made by a few threads."""
    out, lock, left = [], threading.Lock(), iter(range(n))

    def work(server):
        for _ in left:
            one = server.register("w")
            with lock:
                out.append(one)
    threads = [threading.Thread(target=work, args=(s,)) for s in servers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def memory(server):
    with open("/proc/%d/status" % server.process.pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def parked(server):
    text = server.ctl("metrics").stdout
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("myelin_stream_parked ")))


def measure(servers, n, receivers):
    speaker = servers[0].register("speaker")
    room = speaker.create_room(preset="public_chat")
    members = people(servers, receivers)
    for m in members:
        m.join(room)
    others = people(servers, max(1, (n - receivers) // 200))
    idle = [memory(s) for s in servers]
    since = speaker.sync()["next_batch"]
    jobs = [(servers[i % len(servers)].port, sync_request(m.token, since), True) for i, m in enumerate(members)]
    for i in range(n - receivers):
        jobs.append((servers[i % len(servers)].port, sync_request(others[i % len(others)].token, since), False))
    holders = []
    for k in range(0, n, EACH):
        ours, theirs = multiprocessing.Pipe()
        p = multiprocessing.Process(target=hold, args=("127.0.1.%d" % (1 + k // EACH), jobs[k // EACH::(n + EACH - 1) // EACH], theirs))
        p.start()
        theirs.close()
        holders.append((p, ours))
    there = sum(pipe.recv()[1] for _, pipe in holders)
    wait_for(lambda: sum(parked(s) for s in servers) == n, "all to wait", 300)
    rss = [memory(s) for s in servers]
    print("%d wait at %d processes: %.0f MiB resident in all (%.0f before), %.1f KiB for each"
          % (there, len(servers), sum(rss), sum(idle), 1024 * (sum(rss) - sum(idle)) / n))
    began = time.monotonic()
    speaker.send(room, "hello")
    sent = time.monotonic()
    wait_for(lambda: sum(parked(s) for s in servers) <= n - receivers, "the receivers to be answered", 60)
    time.sleep(1)		# whoever is woken without need would be by now
    right, expected, wrong, times = 0, 0, 0, []
    for p, pipe in holders:
        pipe.send("end")
        r, e, w, t = pipe.recv()
        right, expected, wrong, times = right + r, expected + e, wrong + w, times + t
        p.join()
    times = sorted(1000 * (t - began) for t in times)
    print("a message to %d of them: acknowledged after %.1f ms; %d have it, half of them after %.1f ms, 99 %% after %.1f, all after %.1f; %d others were disturbed"
          % (expected, 1000 * (sent - began), right, times[len(times) // 2], times[len(times) * 99 // 100], times[-1], wrong))
    return right == expected and wrong == 0


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    receivers = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    limit = raise_limit(max(n // count, EACH) + 2000)
    if limit < n // count + 1000:
        n = (limit - 1000) * count
        print("the limit of open files (%d) lets %d connections be" % (limit, n))
    folder = tempfile.mkdtemp(prefix="myelin-waiting-")
    postgres = Postgres()
    servers = []
    good = False
    try:
        url = postgres.database()
        for i in range(count):
            servers.append(Server("%s/%d" % (folder, i), url, set={"http.max_connections_per_address": str(n), "database.poll": "1m"}))
            if i > 0:
                shutil.copy(servers[0].folder + "/signing.key", servers[i].folder + "/signing.key")
            servers[i].start()
        good = measure(servers, n, receivers)
    finally:
        for s in servers:
            s.stop()
        postgres.remove()
        shutil.rmtree(folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
