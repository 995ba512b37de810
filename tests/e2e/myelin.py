"""Real servers for the tests: starting, stopping and killing them, and a client that speaks plain HTTP.

A Server is a myelind of this build with a folder, a configuration and a database of its own, on a free port of
127.0.0.1. Nothing here knows more of Myelin than an operator does.
"""

import hashlib
import hmac
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MYELIN_BUILD", os.path.join(SOURCE, "build"))
SECRET = "e2e-shared-secret"
PASSWORD = "correct-horse-battery"

_numbers = itertools.count(1)


def quote(part):
    return urllib.parse.quote(part, safe="")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, what, seconds=20.0):
    """Waits until condition() is true and returns its value; fails with `what` when it never is."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %g s for %s" % (seconds, what))
        time.sleep(0.01)


class Client:
    """Somebody who talks to a server, with or without an access token. One connection a thread, kept alive."""

    def __init__(self, server, token=None, user_id=None, device_id=None):
        self.server = server
        self.token = token
        self.user_id = user_id
        self.device_id = device_id
        self._local = threading.local()
        self._txn = itertools.count(1)

    def raw(self, method, path, body=None, headers=None, token=True, timeout=40):
        """-> (status, headers, bytes)"""
        headers = dict(headers or {})
        if token and self.token:
            headers.setdefault("Authorization", "Bearer " + self.token)
        for attempt in (0, 1):
            conn = getattr(self._local, "conn", None)
            fresh = conn is None or conn.port != self.server.port
            if fresh:
                conn = self._local.conn = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=timeout)
            conn.timeout = timeout
            if conn.sock is not None:
                conn.sock.settimeout(timeout)
            try:
                conn.request(method, path, body=body, headers=headers)
                answer = conn.getresponse()
                return answer.status, answer.headers, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                # A kept connection may have been closed while idle; a fresh one may not.
                self._local.conn = None
                conn.close()
                if fresh or attempt:
                    raise
            except Exception:
                self._local.conn = None
                conn.close()
                raise

    def call(self, method, path, body=None, token=True, timeout=40):
        """-> (status, JSON)"""
        data = None if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
        if data is None and method in ("POST", "PUT"):
            data = "{}"
        status, _, text = self.raw(method, path, data, {"Content-Type": "application/json"}, token, timeout)
        return status, json.loads(text) if text else None

    def ok(self, method, path, body=None, **more):
        status, answer = self.call(method, path, body, **more)
        assert status == 200, "%s %s: %d %s" % (method, path, status, answer)
        return answer

    # ---- what most tests do ----

    def create_room(self, **body):
        return self.ok("POST", "/_matrix/client/v3/createRoom", body)["room_id"]

    def room(self, room_id, rest):
        return "/_matrix/client/v3/rooms/%s/%s" % (quote(room_id), rest)

    def send(self, room_id, text, txn=None):
        path = self.room(room_id, "send/m.room.message/%s" % quote(txn or "t%d" % next(self._txn)))
        return self.ok("PUT", path, {"msgtype": "m.text", "body": text})["event_id"]

    def set_state(self, room_id, event_type, content, key=""):
        return self.ok("PUT", self.room(room_id, "state/%s/%s" % (quote(event_type), quote(key))), content)["event_id"]

    def state(self, room_id, event_type, key=""):
        return self.ok("GET", self.room(room_id, "state/%s/%s" % (quote(event_type), quote(key))))

    def join(self, room_id):
        return self.ok("POST", "/_matrix/client/v3/join/" + quote(room_id))["room_id"]

    def leave(self, room_id):
        return self.ok("POST", self.room(room_id, "leave"))

    def invite(self, room_id, user_id):
        return self.ok("POST", self.room(room_id, "invite"), {"user_id": user_id})

    def sync(self, since=None, timeout=0, filter=None, **query):
        query["timeout"] = timeout
        if since:
            query["since"] = since
        if filter is not None:
            query["filter"] = filter if isinstance(filter, str) else json.dumps(filter)
        return self.ok("GET", "/_matrix/client/v3/sync?" + urllib.parse.urlencode(query), timeout=timeout / 1000 + 40)

    def messages(self, room_id, **query):
        return self.ok("GET", self.room(room_id, "messages?" + urllib.parse.urlencode(query)))


class Server:
    def __init__(self, folder, database=None, name="localhost", config="", env=None, set=None):
        self.folder = str(folder)
        self.name = name
        self.port = free_port()
        self.database = database or "sqlite:%s/myelin.db" % self.folder
        self.config_file = os.path.join(self.folder, "myelin.conf")
        self.log_file = os.path.join(self.folder, "log")
        self.extra = config
        self.env = env or {}
        # What the configuration says already is changed by --set: {"client-register.enabled": "no"}.
        self.set = [word for name, value in (set or {}).items() for word in ("--set", "%s=%s" % (name, value))]
        self.process = None
        self.program = os.path.join(BUILD, "myelind")
        os.makedirs(self.folder, exist_ok=True)
        self.write_config()

    @property
    def base(self):
        return "http://127.0.0.1:%d" % self.port

    def write_config(self, extra=None):
        if extra is not None:
            self.extra = extra
        with open(self.config_file, "w") as f:
            f.write(CONFIG.format(name=self.name, database=self.database, port=self.port, secret=SECRET))
            f.write(self.extra)

    def ctl(self, *arguments, stdin=None, check=True):
        done = subprocess.run([os.path.join(BUILD, "myelinctl"), "--config", self.config_file, *self.set, *arguments],
                              input=stdin, capture_output=True, text=True, timeout=60)
        if check:
            assert done.returncode == 0, done.stderr + done.stdout
        return done

    def spawn(self):
        """Starts the process and does not wait for it."""
        key = os.path.join(self.folder, "signing.key")
        if not os.path.exists(key):
            self.ctl("key", "generate", key)
        self.log = open(self.log_file, "ab")
        self.process = subprocess.Popen([self.program, "--config", self.config_file, *self.set],
                                        stdout=self.log, stderr=self.log, cwd=self.folder,
                                        env={**os.environ, **self.env})

    def start(self):
        self.spawn()
        anyone = self.client()

        def up():
            if self.process.poll() is not None:
                raise AssertionError("myelind ended with %d:\n%s" % (self.process.returncode, self.log_text()[-4000:]))
            try:
                return anyone.raw("GET", "/health")[0] == 200
            except OSError:
                return False

        wait_for(up, "myelind to answer /health")
        return self

    def stop(self, seconds=30):
        """SIGTERM; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self.process = None
        self.log.close()
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        self.log.close()

    def restart(self):
        assert self.stop() == 0
        return self.start()

    def log_text(self):
        if not os.path.exists(self.log_file):
            return ""
        with open(self.log_file, errors="replace") as f:
            return f.read()

    def client(self, token=None):
        return Client(self, token)

    def register(self, name="user", admin=False, password=PASSWORD):
        """A new account whose name begins with `name`, logged in."""
        name = "%s%d" % (name, next(_numbers))
        anyone = self.client()
        nonce = anyone.ok("GET", "/_synapse/admin/v1/register")["nonce"]
        mac = hmac.new(SECRET.encode(), digestmod=hashlib.sha1)
        mac.update(b"\0".join([nonce.encode(), name.encode(), password.encode(), b"admin" if admin else b"notadmin"]))
        answer = anyone.ok("POST", "/_synapse/admin/v1/register", {
            "nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac.hexdigest()})
        return Client(self, answer["access_token"], answer["user_id"], answer["device_id"])

    def login(self, user_id, password=PASSWORD, **more):
        answer = self.client().ok("POST", "/_matrix/client/v3/login", {
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user_id}, "password": password, **more})
        return Client(self, answer["access_token"], answer["user_id"], answer["device_id"])


CONFIG = """\
[server]
name = {name}
signing_key = signing.key

[database]
url = {database}

[http]
listen = 127.0.0.1:{port}
rate_limits = no

[client-register]
enabled = yes
stages = dummy

[auth-password]
# As cheap as the library allows: the tests make many accounts.
memory = 8K
operations = 1

[admin]
registration_shared_secret = {secret}
"""
