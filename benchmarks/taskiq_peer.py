"""TaskIQ on Redis streams: tasks are acknowledged after they have run; the sender awaits many at once."""

from benchmarks.peers import Peer

TASKS = """
import os, time
from taskiq_redis import RedisStreamBroker
broker = RedisStreamBroker(url=os.environ["PEER_URL"], xread_block=10_000)
log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
@broker.task
async def noop(text, sent):
    os.write(log, b"%d %d\\n" % (sent, time.monotonic_ns()))
"""
WORKER = ("-m", "taskiq", "worker", "tasks:broker", "--workers", "2", "--max-async-tasks", "100", "--log-level", "ERROR", "--no-configure-logging")
PRODUCER = """
import asyncio, sys, time
from tasks import broker, noop
count, pause = int(sys.argv[1]), float(sys.argv[2])
async def send(number):
    for _ in range(number):
        await noop.kiq("x" * 280, time.monotonic_ns())
        if pause:
            await asyncio.sleep(pause)
async def main():
    await broker.startup()
    senders = 1 if pause else 50
    await asyncio.gather(*(send(count // senders) for _ in range(senders)))
    await broker.shutdown()
asyncio.run(main())
"""
PEERS = tuple(Peer(f"TaskIQ on Redis streams (fsync {fsync})", "taskiq_redis", TASKS, WORKER, PRODUCER, fsync) for fsync in ("always", "everysec"))
