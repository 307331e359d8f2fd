"""Huey on SQLite: each task is on disk before its call returns, and tasks are polled for, at most every 5 ms."""

from benchmarks.peers import Peer

TASKS = """
import os, time
from huey import SqliteHuey
huey = SqliteHuey(filename=os.environ["PEER_URL"], fsync=True, results=False)
log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@huey.task()
def noop(text, sent):
    os.write(log, b"%d %d\\n" % (sent, time.monotonic_ns()))
"""
CONSUMER = """
from tasks import huey
huey.create_consumer(workers=2, worker_type="process", periodic=False, initial_delay=0.001, backoff=1.05, max_delay=0.005).run()
"""
PRODUCER = """
import sys, time
from tasks import noop
for _ in range(int(sys.argv[1])):
    noop("x" * 280, time.monotonic_ns())
    time.sleep(float(sys.argv[2]))
"""
PEERS = (Peer("Huey on SQLite (FULL)", "huey", TASKS, ("-c", CONSUMER), PRODUCER),)
