"""A real dockerd, by its API. It needs root, and the programs of Debian's packages docker.io, containerd and runc in PATH."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import urllib.parse

# A mount namespace of its own: the machine's /etc/docker and /run/docker are not touched, and nothing stays mounted.
START = """
mount --make-rprivate /
mkdir -p /etc/docker /run/docker
mount -t tmpfs t /etc/docker
mount -t tmpfs t /run/docker
exec dockerd --config-file "$1/none.json" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" -H "unix://$1/socket" \
    --storage-driver vfs --bridge none --iptables=false
"""


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Daemon:
    """A running dockerd, by its API."""

    def __init__(self, folder):
        self._folder = folder

    def call(self, method, path):
        body = self.send(method, path)
        return json.loads(body) if body else None

    def send(self, method, path, body=None):
        """What it answers, in bytes."""
        with contextlib.closing(Connection(self._folder / "socket")) as connection:
            connection.request(method, f"/v1.41{path}", body=body)
            response = connection.getresponse()
            answer = response.read()
        assert response.status < 300, (path, response.status, answer)
        return answer

    def inspect(self, image_id):
        return self.call("GET", f"/images/{urllib.parse.quote(image_id)}/json")


@contextlib.contextmanager
def daemon(folder):
    (folder / "none.json").write_text("{}")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    assert shutil.which("dockerd", path=path), "install docker.io, containerd and runc"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", START, "sh", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
    try:
        wait(process, folder)
        yield Daemon(folder)
    finally:
        process.kill()  # it takes its containerd with it
        process.wait()


def wait(process, folder):
    for _ in range(600):
        with contextlib.suppress(OSError, http.client.HTTPException):
            Daemon(folder).call("GET", "/version")
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            break
    raise AssertionError(f"dockerd did not start:\n{(folder / 'log').read_text()}")
