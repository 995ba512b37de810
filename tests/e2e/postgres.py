"""A real PostgreSQL for the tests: initialised and started here, as a user who is not root, reachable by a unix socket
in a folder of its own, and stopped at the end."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile


def find(program):
    """The path of one of PostgreSQL's server programs, or None."""
    found = shutil.which(program)
    if found:
        return found
    there = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + program), reverse=True)
    return there[0] if there else None


class Postgres:
    def __init__(self, primary=None, start=True):
        """primary: it is a standby of that one, and takes over when it is promoted."""
        self.env = {}
        self.folder = tempfile.mkdtemp(prefix="myelin-pg-")
        self.count = 0
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres"
            try:
                pwd.getpwnam(self.user)
            except KeyError:
                self.user = "nobody"
            shutil.chown(self.folder, self.user)
            os.chmod(self.folder, 0o755)
        self.data = os.path.join(self.folder, "data")
        if primary:
            self._run(find("pg_basebackup"), "-D", self.data, "-h", primary.folder, "-U", "myelin", "-R", "-X", "stream",
                      "-c", "fast", "--no-sync")
        else:
            self._run(find("initdb"), "-D", self.data, "-U", "myelin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        if start:
            self.start()

    def as_user(self, *command):
        """What runs a command as the user whose the files are."""
        if self.user is None:
            return command
        return ("setpriv", "--reuid", self.user, "--regid", str(pwd.getpwnam(self.user).pw_gid),
                "--clear-groups", "--", *command)

    def _run(self, *command):
        done = subprocess.run(self.as_user(*command), cwd=self.folder, capture_output=True, text=True, timeout=120,
                              env={**os.environ, "HOME": self.folder, **self.env})
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self):
        self._run(find("pg_ctl"), "-D", self.data, "-w", "-l", os.path.join(self.folder, "log"), "-o",
                  "-c listen_addresses='' -c unix_socket_directories='%s' -c max_connections=200" % self.folder, "start")
        self.runs = True

    def stop(self, how="fast"):
        self._run(find("pg_ctl"), "-D", self.data, "-w", "-m", how, "stop")
        self.runs = False

    def kill(self):
        """kill -9 of everything that runs there, at one instant: a process that outlives the first by a moment stops
        waiting for a synchronous standby, and shows to others what it has not acknowledged."""
        with open(self.data + "/postmaster.pid") as f:
            first = int(f.readline())
        for how in (signal.SIGSTOP, signal.SIGKILL):
            with open("/proc/%d/task/%d/children" % (first, first)) as f:
                everyone = [first] + [int(pid) for pid in f.read().split()]
            for pid in everyone:
                try:
                    os.kill(pid, how)
                except ProcessLookupError:
                    pass
        self.runs = False

    def promote(self):
        self._run(find("pg_ctl"), "-D", self.data, "-w", "promote")

    def ask(self, sql):
        done = subprocess.run(["psql", "-h", self.folder, "-U", "myelin", "-d", "postgres", "-qAt", "-c", sql],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def running(self):
        """Whether the server's first process is there, as its own file says."""
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as f:
                os.kill(int(f.readline()), 0)
            return True
        except (OSError, ValueError):
            return False

    def database(self):
        """A new, empty database; its connection URL as [database] url takes it."""
        self.count += 1
        name = "myelin%d" % self.count
        subprocess.run([find("createdb") or "createdb", "-h", self.folder, "-U", "myelin", name],
                       check=True, capture_output=True, timeout=60)
        return "postgres:host=%s user=myelin dbname=%s" % (self.folder, name)

    def remove(self):
        try:
            if self.runs:
                self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class Pgbouncer:
    """A pooler in front of a Postgres, reachable by a unix socket in its folder."""

    def __init__(self, postgres, mode, pool_size=60, turns=False):
        self.folder = os.path.join(postgres.folder, "bouncer%d" % len(glob.glob(postgres.folder + "/bouncer*")))
        os.mkdir(self.folder)
        with open(self.folder + "/ini", "w") as f:
            f.write(BOUNCER.format(host=postgres.folder, folder=self.folder, mode=mode, size=pool_size, turns=int(turns)))
        if postgres.user:
            shutil.chown(self.folder, postgres.user)
        self.mode = mode
        self.log = open(self.folder + "/out", "wb")
        self.process = subprocess.Popen(postgres.as_user(find("pgbouncer") or "/usr/sbin/pgbouncer", self.folder + "/ini"),
                                        cwd=self.folder, stdout=self.log, stderr=self.log)

    def ready(self):
        return os.path.exists(self.folder + "/.s.PGSQL.6432")

    def url(self, direct):
        """The same database, through here."""
        return "postgres:host=%s port=6432 user=myelin dbname=%s" % (self.folder, direct.split("dbname=")[1])

    def warm(self, url, n):
        """Leaves n sessions with PostgreSQL behind that nobody uses."""
        words = "BEGIN; SELECT pg_sleep(0.3); COMMIT"
        if self.mode == "statement":
            words = "SELECT pg_sleep(0.3)"
        for p in [subprocess.Popen(["psql", "-q", "-d", url.split(":", 1)[1], "-c", words], stdout=subprocess.DEVNULL)
                  for _ in range(n)]:
            assert p.wait(30) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


BOUNCER = """\
[databases]
* = host={host} user=myelin
[pgbouncer]
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 500
server_round_robin = {turns}
logfile = {folder}/log
"""
