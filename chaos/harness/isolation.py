"""Namespaces of its own for the harness: its devices, mounts and processes end with it, however it
ends, and nothing of the machine is changed.
"""
import ctypes
import os
import signal
import sys

SKIPPED = 77

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1

library = ctypes.CDLL(None, use_errno=True)


def call(function, *arguments):
    """Of the C library; raises OSError."""
    result = getattr(library, function)(*arguments)
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def mount(source, target, kind, flags=0):
    call("mount", source.encode(), target.encode(), kind and kind.encode(),
         ctypes.c_ulong(flags), None)


def skip(why):
    print(f"chaos: skipped, {why}", flush=True)
    sys.exit(SKIPPED)


def end_with_parent():
    """For a child of the main thread: what started it takes it along. Its own children go with it,
    as it is process 1 of their namespace."""
    library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def enter():
    """Returns in a child that is process 1 of its namespaces; this process waits for it and ends
    with its status."""
    if os.geteuid() != 0:
        skip("this needs root, for network namespaces")
    if not os.path.exists("/dev/net/tun"):
        skip("there is no /dev/net/tun")
    try:
        call("unshare", CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
    except OSError as error:
        skip(f"namespaces are not allowed here ({error})")
    child = os.fork()
    if child != 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN) # the terminal tells the child itself
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
    end_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc")
        mount("tmpfs", "/run", "tmpfs")
        os.mkdir("/run/netns")
    except OSError as error:
        skip(f"mounts are not allowed here ({error})")
