"""Processes and directories that end with the test, however it ends.

Each test process has one run directory. What it starts works inside that directory, and a watchdog kills all that works
there when the test process is gone (watchdog.py). Servers run as an unprivileged user, because PostgreSQL and PgBouncer
refuse to be root.

Environment: SEAWALL_TEST_DIR (where run directories are made), SEAWALL_KEEP=1 (leave them behind to look at).
"""

import atexit
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from lib import watchdog
from lib.wait import wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER_USER = "postgres"
IS_ROOT = os.geteuid() == 0

_lock = threading.Lock()
_run = None  # (directory, watchdog process, pid that owns them)
_random = random.Random()  # a source of its own: a test that seeds `random` shall not get everyone's ports


def _is_reachable(directory):
    """Can the server user enter a directory? Not where the sources lie in /root, say."""
    if not IS_ROOT:
        return os.access(directory, os.W_OK)
    while True:
        if not os.stat(directory).st_mode & 0o001:
            return False
        if directory == "/":
            return True
        directory = os.path.dirname(directory)


def base_dir():
    """Where templates and run directories are: build/test, or a directory in /tmp where servers cannot enter build/."""
    base = os.environ.get("SEAWALL_TEST_DIR")
    if not base:
        build = os.path.join(ROOT, "build")
        os.makedirs(build, exist_ok=True)
        base = os.path.join(build if _is_reachable(build) else "/tmp", "test" if _is_reachable(build) else
                            "seawall-test-%d" % os.geteuid())
    os.makedirs(base, exist_ok=True)
    return base


def own(path):
    """Gives a file or directory to the user under which servers run."""
    if IS_ROOT:
        user = pwd.getpwnam(SERVER_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


def run_dir():
    """This process's run directory; made, with its watchdog, on the first call."""
    global _run
    with _lock:
        if _run is None or _run[2] != os.getpid():
            directory = tempfile.mkdtemp(prefix="run-", dir=base_dir())
            own(directory)
            os.chmod(directory, 0o755)
            keep = "keep" if os.environ.get("SEAWALL_KEEP") else "remove"
            process = subprocess.Popen([sys.executable, watchdog.__file__, directory, str(os.getpid()), keep],
                                       stdin=subprocess.PIPE, start_new_session=True, cwd="/")
            _run = (directory, process, os.getpid())
            if len(atexit_registered) == 0:
                atexit_registered.append(atexit.register(end_run))
        return _run[0]


atexit_registered = []


def end_run():
    """Ends everything now and waits for it; runs at exit by itself."""
    global _run
    with _lock:
        if _run is not None and _run[2] == os.getpid():
            _run[1].stdin.close()
            _run[1].wait()
        _run = None


def make_dir(prefix):
    """A new directory inside the run directory, owned by the server user."""
    directory = tempfile.mkdtemp(prefix=prefix + "-", dir=run_dir())
    own(directory)
    return directory


def as_server_user(argv):
    """The command that runs argv as the unprivileged user: as it is where we are not root."""
    if not IS_ROOT:
        return list(argv)
    return ["setpriv", "--reuid", SERVER_USER, "--regid", SERVER_USER, "--init-groups", "--"] + list(argv)


def spawn(argv, cwd, log, env=None, unprivileged=True):
    """Starts a server in the background, in a directory inside the run directory; its output is appended to log."""
    assert (cwd + "/").startswith(run_dir() + "/"), "%s is outside the run directory: nobody would end this" % cwd
    with open(log, "ab") as output, open(os.devnull, "rb") as nothing:
        return subprocess.Popen(as_server_user(argv) if unprivileged else list(argv), cwd=cwd, stdin=nothing,
                                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                                env=dict(os.environ, **(env or {})))


def run(argv, cwd="/", unprivileged=True, check=True, env=None, **kw):
    """Runs a command to its end and returns the CompletedProcess; its output is text, and in the error if it fails."""
    done = subprocess.run(as_server_user(argv) if unprivileged else list(argv), cwd=cwd, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, **(env or {})), **kw)
    if check and done.returncode != 0:
        raise AssertionError("%s ended with %d:\n%s" % (" ".join(argv), done.returncode, done.stdout))
    return done


def wait_exit(process, deadline, what):
    """Waits for a process that is expected to end; returns its exit code."""
    wait_until(lambda: process.poll() is not None, deadline, what + " to end")
    return process.returncode


def end(process, sign=signal.SIGKILL):
    """Ends a process that may be gone already."""
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(sign)
        process.wait()


def free_port():
    """A port of 127.0.0.1 on which nothing listens, below the range from which outgoing connections take theirs, so
    that a server that is restarted finds its port free. Another process may still be quicker: the caller retries."""
    while True:
        port = _random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def cpu_ticks(pid):
    """User and system time of a process, all threads and children that it has waited for excluded, in clock ticks."""
    with open("/proc/%d/stat" % pid) as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def rss_kb(pid):
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def tail(path, lines=40):
    """The last lines of a log, for messages."""
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-lines:])
    except OSError as error:
        return str(error)
