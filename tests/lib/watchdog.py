"""Ends what a test has started and removes its directory, also where the test was killed by SIGKILL.

Started by proc.py as `watchdog.py RUN_DIRECTORY PARENT_PID KEEP` with a pipe on stdin. The pipe's other end is held by
the test process; when it closes, every process that works inside the run directory is killed. PostgreSQL's processes
all change into their data directory and the others are started there, so a working directory is a mark that children
inherit and that no process group or session of their own can shake off.
"""

import ctypes
import glob
import os
import select
import shutil
import signal
import sys


def processes_inside(directory):
    """The pids of all processes whose working directory is inside a directory."""
    inside = directory.rstrip("/") + "/"
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            cwd = os.readlink("/proc/%s/cwd" % name)
        except OSError:
            continue
        if (cwd + "/").startswith(inside):
            found.append(int(name))
    return found


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def kill_inside(directory):
    """SIGKILL to everything inside a directory until nothing is left; first SIGSTOP, so that nothing forks."""
    while True:
        pids = processes_inside(directory)
        if not pids:
            return
        for sign in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, sign)
                except OSError:
                    pass
        for pid in pids:
            while is_alive(pid):
                select.select([], [], [], 0.002)


def free_shared_memory(data):
    """Removes the System V segment that a killed postmaster leaves behind; its id is the 7th line of postmaster.pid."""
    try:
        with open(os.path.join(data, "postmaster.pid")) as pid_file:
            shm_id = int(pid_file.read().split("\n")[6].split()[1])
    except (OSError, IndexError, ValueError):
        return
    ipc_rmid = 0
    ctypes.CDLL(None).shmctl(shm_id, ipc_rmid, None)


def clean_up(directory, keep):
    kill_inside(directory)
    for pid_file in glob.glob(os.path.join(directory, "**", "postmaster.pid"), recursive=True):
        free_shared_memory(os.path.dirname(pid_file))
    if not keep:
        shutil.rmtree(directory, ignore_errors=True)


def main():
    directory, parent, keep = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "keep"
    os.chdir("/")
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    # A forked child of the test may hold the pipe open, so the parent's death is looked for as well.
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], 1.0)
        if readable and not os.read(sys.stdin.fileno(), 1):
            break
    clean_up(directory, keep)


if __name__ == "__main__":
    main()
