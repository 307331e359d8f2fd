"""Dramatiq on Redis, without the middleware that a no-op needs not: two processes of eight threads, and eight threads that send."""

from benchmarks.peers import Peer

TASKS = """
import os, time
import dramatiq
from dramatiq.brokers.redis import RedisBroker
dramatiq.set_broker(RedisBroker(url=os.environ["PEER_URL"], middleware=[dramatiq.middleware.Retries()]))
log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@dramatiq.actor
def noop(text, sent):
    os.write(log, b"%d %d\\n" % (sent, time.monotonic_ns()))
"""
WORKER = ("-m", "dramatiq", "tasks", "--processes", "2", "--threads", "8", "--skip-logging")
PRODUCER = """
import sys, threading, time
from tasks import noop
count, pause = int(sys.argv[1]), float(sys.argv[2])
def send(number):
    for _ in range(number):
        noop.send("x" * 280, time.monotonic_ns())
        if pause:
            time.sleep(pause)
senders = 1 if pause else 4
threads = [threading.Thread(target=send, args=(count // senders,)) for _ in range(senders)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
PEERS = (Peer("Dramatiq on Redis (fsync everysec)", "dramatiq", TASKS, WORKER, PRODUCER, "everysec"),)
