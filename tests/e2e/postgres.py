"""A real PostgreSQL for the tests: initialised and started here, as a user who is not root, reachable by a unix socket
in a folder of its own, and stopped at the end."""

import glob
import os
import pwd
import shutil
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
    def __init__(self):
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
        self._run(find("initdb"), "-D", self.data, "-U", "myelin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def _run(self, *command):
        if self.user:
            command = ("setpriv", "--reuid", self.user, "--regid", str(pwd.getpwnam(self.user).pw_gid),
                       "--clear-groups", "--", *command)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120,
                              env={**os.environ, "HOME": self.folder})
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self):
        self._run(find("pg_ctl"), "-D", self.data, "-w", "-l", os.path.join(self.folder, "log"), "-o",
                  "-c listen_addresses='' -c unix_socket_directories='%s' -c max_connections=200" % self.folder, "start")

    def stop(self, how="fast"):
        self._run(find("pg_ctl"), "-D", self.data, "-w", "-m", how, "stop")

    def database(self):
        """A new, empty database; its connection URL as [database] url takes it."""
        self.count += 1
        name = "myelin%d" % self.count
        subprocess.run([find("createdb") or "createdb", "-h", self.folder, "-U", "myelin", name],
                       check=True, capture_output=True, timeout=60)
        return "postgres:host=%s user=myelin dbname=%s" % (self.folder, name)

    def remove(self):
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
