"""Fault points: the places between two steps at which a test has a process of the daemon killed, to see that nothing is lost there."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from eventflow.errors import SettingError

#: Every point: between which two steps it lies.
POINTS: Mapping[str, str] = {
    # The state file's one writer.
    "transaction.begun": "a transaction was begun, nothing is changed yet",
    "transaction.applied": "its changes were made, it is not committed yet",
    "transaction.committed": "it is on disk, nobody was told yet",
    # An event is accepted, claimed, run, settled, tried again.
    "events.arrived": "events were sent, they are not in the journal yet",
    "events.accepted": "they are on disk, nobody was told yet",
    "events.offered": "their senders are being told, their functions were given them",
    "claim.asked": "a function asks the journal for events that were accepted earlier",
    "claim.answered": "it has got some, and they are not in its line yet",
    "run.taken": "events left the line, no environment has them yet",
    "run.sent": "an environment was sent events",
    "environment.asked": "an environment has received events and has not begun with them",
    "environment.answered": "an environment has answered, and is free",
    "run.answered": "answers of an environment came, nothing follows from them yet",
    "run.lost": "an environment is gone, what it ran was dealt with in memory alone",
    "settle.asked": "attempts have ended, that is not in the journal yet",
    "settle.caused": "within the transaction that ends an event, what follows from its end was written",
    "settle.written": "attempts are settled on disk, the dispatcher does not know it yet",
    "settle.followed": "what follows from them is under way",
    "retry.due": "events wait for a retry whose time has come",
    "retry.woken": "they are ready in the journal, and in no line yet",
    # A trigger delivers.
    "bucket.described": "a new state of an object was read, its event is not emitted yet",
    "bucket.emitting": "the event of an object was made, it is not accepted yet",
    "bucket.emitted": "the event and the memory of the object are on disk, the trigger does not know it yet",
    "bucket.remembering": "objects that fire no event are to be remembered, they are not yet",
    "bucket.remembered": "they are on disk, the trigger does not know it yet",
    "schedule.emitting": "an instant has come, its event is not accepted yet",
    "schedule.emitted": "the event and the instant are on disk, the schedule does not know it yet",
    "queue.received": "messages were taken and hidden, their batch is not run yet",
    "queue.invoked": "the function has handled a batch, its messages are not deleted yet",
    "queue.deleted": "they are deleted, the trigger does not know it yet",
    "stream.invoked": "the function has handled a batch of changes, how far it came is not written down yet",
    "stream.remembering": "how far the trigger came is to be written down, it is not yet",
    "stream.remembered": "it is on disk, the trigger does not know it yet",
    # A notification that was set on a bucket by API.
    "notification.configured": "the configuration of a bucket's notifications is on disk, what serves it does not run yet",
    "notification.emitting": "the event of an object was made, its destination does not have it yet",
    "notification.emitted": "the destination has it and the memory of the object is on disk, what serves the notification does not know it yet",
    # S3 puts and deletes.
    "object.received": "the bytes of an object have come and are what they should be, they are not on disk yet",
    "object.sealed": "the bytes of an object are on disk under a temporary name, its row is not",
    "object.recorded": "its row is on disk, the file does not have its name yet",
    "object.written": "the bytes of a small object are in a temporary file, nothing of it is on disk",
    "object.journaled": "they and its row are in the state file, its own file does not have its name yet",
    "object.placed": "the file has its name, nobody was told yet",
    "object.synced": "the files of small objects are on disk, their bytes are in the state file still",
    "object.dropped": "they are not there any more",
    "object.buried": "a removal is on disk, the file is still there",
    "object.removed": "the file is gone, nobody was told yet",
    # The same where versions are kept.
    "version.recorded": "the rows of a new version and of the one before are on disk, no file was moved",
    "version.placed": "the files of both are where they belong, the new version is not confirmed yet",
    "version.marked": "a delete marker is on disk, the file that it hides is still there",
    "version.hidden": "the file is with the older versions, the marker is not confirmed yet",
    # S3's multipart uploads.
    "part.sealed": "the bytes of a part are on disk under a temporary name, its row is not",
    "part.recorded": "its row is on disk, the part that it replaces is still there and nobody was told",
    "upload.joined": "the parts were written into one temporary file, there is no object yet",
    "upload.placed": "the object is there, its upload and the parts still are too",
    "upload.ended": "the upload is gone, the files of its parts are still there",
    # A table's changes.
    "item.written": "within the transaction of a change, the item's row was written, its indexes and counts were not",
    "item.indexed": "they were written too; what else belongs to the transaction was not",
    # A queue's sends, receives and deletes.
    "message.stored": "within the transaction of a send, a message was written; the others of its batch were not",
    "message.sent": "messages are on disk, the sender was not told yet",
    "message.hidden": "received messages are hidden on disk, the receiver was not told yet",
    "message.deleted": "deletes are on disk, nobody was told yet",
    # An event arrives at a bus.
    "event.taken": "within its transaction, an event was read, nothing follows from it yet",
    "event.routed": "within its transaction, all that follows from it was written; the events behind it were not",
    # EventBridge Scheduler fires.
    "fire.planned": "within its transaction, an instant was written down and its schedule moved on",
    "fire.delivered": "within its transaction, a fire's queue or bus has it, and the fire is ended",
    "fire.emitted": "a function's event is on disk, its fire is not ended yet",
    # A function is made or changed by API.
    "code.archived": "an archive is on disk, what is in it has no name yet",
    "code.unpacked": "the code is unpacked and on disk, nothing names it yet",
    "code.recorded": "what was changed is on disk, what runs is as before",
    "code.deployed": "what runs is as on disk, nobody was told yet",
    # The daemon begins and ends.
    "daemon.opened": "the state file is open, the application is not loaded yet",
    "daemon.loaded": "the application is loaded and its triggers run, the daemon was not announced yet",
    "daemon.announced": "the daemon is ready",
    "daemon.stopping": "the triggers have stopped, functions may run on",
    "daemon.drained": "running functions have ended or their time is over, the environments are still there",
    "daemon.ended": "the environments are gone, the state file is still open",
    # The zygote and its environments.
    "zygote.loaded": "the zygote has loaded the application, the daemon knows it",
    "zygote.asked": "an environment was asked for, it is not forked yet",
    "zygote.forked": "it is forked, the daemon was not told yet",
    "environment.begun": "an environment begins its life, it has imported nothing yet",
}


@dataclass(slots=True)
class Trap:
    """Kill this process when it reaches ``point`` for the ``nth`` time. ``mark`` is a file that is made first: where it is there already the trap was
    sprung, perhaps in an earlier process, and does nothing more."""

    point: str
    nth: int
    mark: str
    reached: int = 0

    def reach(self) -> None:
        self.reached += 1
        if self.reached < self.nth:
            return
        try:
            os.close(os.open(self.mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


#: One for the whole process: passing it to every part would cost more, in code and in time, than all the rest.
trap: Trap | None = None


def reach(point: str) -> None:
    """Say that this process is at a point; it ends here if a test asked for that."""
    if trap is not None and trap.point == point:
        trap.reach()


def arm(text: str) -> None:
    """Set the trap that ``text`` asks for, as ``POINT NTH FILE``. Raises SettingError."""
    global trap
    point, _, rest = text.partition(" ")
    nth, _, mark = rest.partition(" ")
    if point not in POINTS or not nth.isdecimal() or not mark:
        raise SettingError(f"{text!r} is no fault point: it takes POINT NTH FILE, and POINT is one of {', '.join(POINTS)}.")
    trap = Trap(point, int(nth), mark)
