"""The classic experiment: many buyers, few units, and six ways to take one of them.

Two processes with several threads each run the same race on the real PostgreSQL and the
real sale Redis, on tables and keys of its own. Half of the time goes to races, each
with a fresh stock of a few units: who sells more than there is? The other half goes to
one stock that does not end: how fast is it?
"""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha1
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import psycopg2
from django.db import connection

from sales import counters
from sales.counters import Snapshot

PROCESSES = 2
THREADS = 8
SCRATCH = -1  # no item has this number
ENDLESS = 1_000_000_000
LOCK = 4_711_001  # advisory locks of the race
TABLES = """
DROP TABLE IF EXISTS race_stock, race_order;
CREATE TABLE race_stock (id integer PRIMARY KEY, quantity integer NOT NULL);
CREATE TABLE race_order (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stock integer NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now()
);
"""
# The same text under another hash: the fence around the real one stays as it is.
CLAIM = f"-- for the race\n{counters.SCRIPTS['claim']}"
CLAIM_SHA = sha1(CLAIM.encode(), usedforsecurity=False).hexdigest()


class RaceFailed(Exception):
    """The experiment could not be run; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one way did: `sold` of `offered` units in all races, then its speed."""

    way: str
    is_safe: bool
    races: int
    offered: int
    sold: int
    oversold: int
    worst_race: int
    orders_per_second: float
    p99_ms: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Take = Callable[[Any, int], bool]


def read_check_write(cursor: Any, stock: int) -> bool:
    """What everybody writes first: between the read and the write others read, too."""
    cursor.execute("SELECT quantity FROM race_stock WHERE id = %s", [stock])
    return _check_and_write(cursor, stock)


_mutex = threading.Lock()


def process_mutex(cursor: Any, stock: int) -> bool:
    """The same under a lock of this process, which the other one does not see."""
    with _mutex:
        taken = read_check_write(cursor, stock)
        cursor.connection.commit()
    return taken


def row_lock(cursor: Any, stock: int) -> bool:
    cursor.execute("SELECT quantity FROM race_stock WHERE id = %s FOR UPDATE", [stock])
    return _check_and_write(cursor, stock)


def advisory_lock(cursor: Any, stock: int) -> bool:
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, stock])
    return read_check_write(cursor, stock)


def conditional_update(cursor: Any, stock: int) -> bool:
    """One statement checks and writes; the row count is the answer."""
    cursor.execute(
        "UPDATE race_stock SET quantity = quantity - 1 WHERE id = %s AND quantity >= 1",
        [stock],
    )
    return bool(cursor.rowcount) and _order(cursor, stock)


def redis_counter(_cursor: Any, stock: int) -> bool:
    """The script that decides flash sales; orders follow in batches, by the drain."""
    client = counters.client()
    order_id = str(uuid4())
    answers = client.evalsha(
        CLAIM_SHA,
        4,
        *counters.keys(SCRATCH),
        str(stock),
        order_id,
        f"g:{order_id}",
        "1",
    )
    return bool(answers[0][0] == counters.Code.DONE)


def _check_and_write(cursor: Any, stock: int) -> bool:
    quantity = cursor.fetchone()[0]
    if quantity < 1:
        return False
    cursor.execute(
        "UPDATE race_stock SET quantity = %s WHERE id = %s", [quantity - 1, stock]
    )
    return _order(cursor, stock)


def _order(cursor: Any, stock: int) -> bool:
    cursor.execute("INSERT INTO race_order (stock) VALUES (%s)", [stock])
    return True


WAYS: dict[str, tuple[Take, bool]] = {
    "read, check, write": (read_check_write, False),
    "mutex in each process": (process_mutex, False),
    "row lock": (row_lock, True),
    "advisory lock": (advisory_lock, True),
    "conditional update": (conditional_update, True),
    "Redis counter": (redis_counter, True),
}


# -- The parent -------------------------------------------------------------------


def run(
    *, buyers: int, units: int, seconds: float, ways: Iterable[str] = WAYS
) -> Iterator[Outcome]:
    """Run the experiment, way by way, for `seconds` each; give each outcome at once.

    Raises RaceFailed when somebody else is racing here or a worker ends.
    """
    with _scratch(), _workers(buyers) as workers:
        _ask(workers, [("race", "row lock", 0, 0)] * PROCESSES)  # until all are there
        for number, way in enumerate(ways):
            yield _run(workers, way, number * 1_000_000, buyers, units, seconds)


@contextmanager
def _scratch() -> Iterator[None]:
    """Tables and keys of the race; what an interrupted one has left is removed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise RaceFailed("A race is being run on this database; wait for its end.")
        try:
            cursor.execute(TABLES)
            counters.client().script_load(CLAIM)
            yield
        finally:
            cursor.execute("DROP TABLE IF EXISTS race_stock, race_order")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
            counters.delete(SCRATCH)


@contextmanager
def _workers(buyers: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(PROCESSES)
    threads = min(THREADS, -(-buyers // PROCESSES))
    pipes, processes = [], []
    try:
        for _ in range(PROCESSES):
            ours, theirs = context.Pipe()
            arguments = (theirs, gate, _database(), threads)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield pipes
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            with suppress(OSError):
                pipe.send(None)
            process.join(timeout=2)
            process.kill()


def _database() -> dict[str, Any]:
    """How to connect to the database that Django uses here."""
    params = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    return {name: params[name] for name in names if params.get(name)}


def _run(
    workers: list[Connection],
    way: str,
    first: int,
    buyers: int,
    units: int,
    seconds: float,
) -> Outcome:
    sold: list[int] = []
    deadline = time.monotonic() + seconds / 2
    while not sold or time.monotonic() < deadline:
        stock = first + len(sold) + 1
        _open_stock(stock, units)
        shares = [buyers // PROCESSES, buyers - buyers // PROCESSES]
        answers = _ask(workers, [("race", way, stock, share) for share in shares])
        sold.append(sum(taken for taken, _latencies in answers))
    stock = first + len(sold) + 1
    _open_stock(stock, ENDLESS)
    start = time.monotonic()
    answers = _ask(workers, [("rate", way, stock, seconds / 2)] * PROCESSES)
    lasted = time.monotonic() - start
    latencies = sorted(ms for _taken, times in answers for ms in times)
    return Outcome(
        way=way,
        is_safe=WAYS[way][1],
        races=len(sold),
        offered=units * len(sold),
        sold=sum(sold),
        oversold=sum(max(0, number - units) for number in sold),
        worst_race=max(sold),
        orders_per_second=sum(taken for taken, _times in answers) / lasted,
        p99_ms=latencies[int(len(latencies) * 0.99)],
    )


def _open_stock(stock: int, units: int) -> None:
    """A fresh stock in both places; its number is the epoch of the counter."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO race_stock VALUES (%s, %s)", [stock, units])
    now = int(time.time() * 1000)
    counters.delete(SCRATCH)
    first = Snapshot(
        epoch=stock,
        state="open",
        units=units,
        left=units,
        floor=0,
        limit=1,
        opens_at=0,
        closes_at=now + 3_600_000,
        hold_ms=600_000,
        seq=0,
        held=0,
        paying=0,
        paid=0,
        released=0,
    )
    counters.preload(SCRATCH, first)


def _ask(workers: list[Connection], tasks: list[Any]) -> list[tuple[int, list[float]]]:
    """Give each worker its task and wait for all answers."""
    try:
        for worker, task in zip(workers, tasks, strict=True):
            worker.send(task)
        answers = [worker.recv() for worker in workers]
    except (EOFError, OSError) as error:
        raise RaceFailed("A worker of the race has ended; run it again.") from error
    for answer in answers:
        if isinstance(answer, str):
            raise RaceFailed(answer)
    return answers


# -- A worker process -------------------------------------------------------------


def _work(pipe: Connection, gate: Any, database: dict[str, Any], threads: int) -> None:
    """Take tasks until there is no more; the parent ends a worker that hangs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    team = Team(partial(psycopg2.connect, **database), gate, threads)
    while (task := pipe.recv()) is not None:
        try:
            pipe.send(team.run(*task))
        except Exception as error:
            gate.abort()
            pipe.send(f"A worker of the race failed: {error}")


class Team:
    """Threads of one process, each with connections of its own."""

    def __init__(self, connect: Callable[[], Any], gate: Any, threads: int) -> None:
        self._connect = connect
        self._gate = gate
        self._start = threading.Barrier(threads + 1)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._local = threading.local()

    def run(
        self, kind: str, way: str, stock: int, amount: float
    ) -> tuple[int, list[float]]:
        """Let all threads take units at once; return how many, and the times in ms.

        `amount` is the number of buyers of a race, or the seconds of a rate.
        """
        take = partial(self._take, WAYS[way][0], stock)
        if kind == "race":
            shares = [int(amount + n) // self._threads for n in range(self._threads)]
            jobs = [partial(_race, take, share) for share in shares]
        else:
            jobs = [partial(_rate, take, amount)] * self._threads
        futures = [self._pool.submit(self._line_up, job) for job in jobs]
        self._gate.wait(timeout=60)
        self._start.wait(timeout=60)
        taken, times = 0, []
        for future in futures:
            count, latencies = future.result()
            taken += count
            times += latencies
        return taken, times

    def _line_up(
        self, job: Callable[[], tuple[int, list[float]]]
    ) -> tuple[int, list[float]]:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._connect().cursor()
        with counters.patience(10):
            counters.client().ping()
            self._start.wait(timeout=60)
            return job()

    def _take(self, way: Take, stock: int) -> bool:
        cursor = self._local.cursor
        try:
            taken = way(cursor, stock)
            cursor.connection.commit()
        except BaseException:
            cursor.connection.rollback()
            raise
        return taken


def _race(take: Callable[[], bool], buyers: int) -> tuple[int, list[float]]:
    return sum(take() for _ in range(buyers)), []


def _rate(take: Callable[[], bool], seconds: float) -> tuple[int, list[float]]:
    times: list[float] = []
    taken = 0
    end = now = time.perf_counter()
    end += seconds
    while now < end:
        taken += take()
        done = time.perf_counter()
        times.append((done - now) * 1000)
        now = done
    return taken, times
