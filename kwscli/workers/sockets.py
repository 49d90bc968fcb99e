"""Ports of this machine: found free, kept to it, called without a detour."""
import contextlib
import os
import socket

from ..console import say

_LISTENS = "0A"  # proc(5), net/tcp


@contextlib.contextmanager
def free_ports(count):
    """`count` ports of the loopback interface, kept free for the processes that are told their numbers.

    They stay bound here but do not listen: the system gives them to nobody, and who names one may listen on it.
    """
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in held]


def without_proxy(addresses):
    """gRPC would call even this machine through $http_proxy; older ones read the first of these, newer the second."""
    hosts = sorted({address.rpartition(":")[0] for address in addresses} | {"localhost"})
    for name in ("no_proxy", "no_grpc_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), *hosts]))


def keep_to_loopback(port):
    """TensorFlow's server listens on every interface; let its socket hear this machine alone (socket(7), Linux 5.7)."""
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            rows = [line.split() for line in lines]
            inodes |= {"socket:[%s]" % row[9] for row in rows if row[1].endswith(":%04X" % port) and row[3] == _LISTENS}
    kept = False
    for number in os.listdir("/proc/self/fd") if inodes else ():
        with contextlib.suppress(OSError):
            if os.readlink("/proc/self/fd/" + number) in inodes:
                with socket.socket(fileno=os.dup(int(number))) as server:
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                kept = True
    if not kept:
        say("TensorFlow's server listens on port %d of every interface, without authentication, and cannot be kept to"
            " this machine here; see that a firewall does." % port)
