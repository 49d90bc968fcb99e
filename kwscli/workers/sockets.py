"""Sockets of this machine: free ports, calls that bypass proxies, and servers that hear the loopback interface only."""
import contextlib
import os
import socket
from typing import Iterable, Iterator, List, Set

from ..console import say

_LISTENS = "0A"  # the state TCP_LISTEN in /proc/net/tcp, see proc(5)


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[List[int]]:
    """Reserve `count` free ports of the loopback interface for processes that get their numbers.

    The ports stay bound here, so the system gives them to no other program. Nobody listens on them, so a process that
    knows a number can bind it too, and listen.
    """
    with contextlib.ExitStack() as stack:
        reserved = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in reserved:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in reserved]


def bypass_proxy(addresses: Iterable[str]) -> None:
    """Exclude the hosts of these addresses from proxies: gRPC calls even this machine through $http_proxy.

    Older versions of gRPC read $no_proxy, newer ones $no_grpc_proxy.
    """
    hosts = sorted({address.rpartition(":")[0] for address in addresses} | {"localhost"})
    for name in ("no_proxy", "no_grpc_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), *hosts]))


def restrict_to_loopback(port: int) -> None:
    """Let the server of this process on a port hear this machine only; TensorFlow's listens on every interface.

    See SO_BINDTODEVICE in socket(7); it needs no privileges from Linux 5.7 on.
    """
    restricted = False
    for number in _descriptors(_listening_inodes(port)):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            restricted = True
    if not restricted:
        say("TensorFlow's server listens on port %d of every network interface, without authentication. This system "
            "cannot restrict it to this machine; block the port with a firewall." % port)


def _listening_inodes(port: int) -> Set[str]:
    """The inodes of the sockets that listen on a port."""
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            rows = [line.split() for line in lines]
            inodes |= {row[9] for row in rows if row[1].endswith(":%04X" % port) and row[3] == _LISTENS}
    return inodes


def _descriptors(inodes: Set[str]) -> Iterator[int]:
    """The file descriptors of this process that are sockets with these inodes."""
    links = {"socket:[%s]" % inode for inode in inodes}
    for number in os.listdir("/proc/self/fd") if links else ():
        with contextlib.suppress(OSError):
            if os.readlink("/proc/self/fd/" + number) in links:
                yield int(number)
