"""Celery on Redis: two forked workers that acknowledge after the task has run."""

from benchmarks.peers import Peer

TASKS = """
import os, time
from celery import Celery
app = Celery("tasks", broker=os.environ["PEER_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)
log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@app.task(name="noop")
def noop(text, sent):
    os.write(log, b"%d %d\\n" % (sent, time.monotonic_ns()))
"""
WORKER = ("-m", "celery", "--app", "tasks", "--quiet", "worker", "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat")
PRODUCER = """
import sys, time
from tasks import noop
for _ in range(int(sys.argv[1])):
    noop.delay("x" * 280, time.monotonic_ns())
    time.sleep(float(sys.argv[2]))
"""
PEERS = (Peer("Celery on Redis (fsync everysec)", "celery", TASKS, WORKER, PRODUCER, "everysec"),)
