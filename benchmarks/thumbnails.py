"""Thumbnails of 6-megapixel photographs through the bucket trigger, beside a bare two-process loop over the sample's own drawing.

The loop reads each file, decodes, resizes and encodes with the sample's code, and writes the thumbnail to a file. What the bucket trigger does beyond
that: it sums up the file for its ETag, journals the event, hands the photograph out and takes the thumbnail in through S3, and keeps a row.
"""

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from benchmarks.measure import Figure
from tests.process.daemon_process import DaemonProcess

PHOTOGRAPHS = 200
SIZE = (3000, 2000)
SAMPLE = Path(__file__).parents[1] / "samples" / "thumbnails"


def make_photographs(folder: Path) -> list[Path]:
    """Noise over a gradient: as hard to decode as a real photograph."""
    noise = Image.effect_noise(SIZE, 40).convert("RGB")
    gradient = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    photographs = []
    for number in range(PHOTOGRAPHS):
        path = folder / f"photo-{number:03}.jpg"
        if number < 8:
            Image.blend(noise, gradient, 0.3 + number * 0.05).save(path, quality=88)
        else:
            shutil.copy(photographs[number % 8], path)
        photographs.append(path)
    return photographs


def draw_one(path: str) -> int:
    sys.path.insert(0, str(SAMPLE))
    import picture

    return Path(path).with_suffix(".webp").write_bytes(picture.draw(Path(path).read_bytes(), 320, 320).content)


def bare_loop(photographs: list[Path]) -> float:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(draw_one, [str(photographs[0])] * 2)
        begin = time.perf_counter()
        pool.map(draw_one, [str(path) for path in photographs], chunksize=1)
        return len(photographs) / (time.perf_counter() - begin)


def ours(folder: Path, photographs: list[Path]) -> float:
    process = DaemonProcess(folder, "")
    process.app = SAMPLE / "app.py"
    try:
        process.start()
        warm = process.bucket("uploads") / "warm.jpg"
        shutil.copy(photographs[0], warm)
        process.until(lambda: done(process) == 1, "the first thumbnail is there")
        begin = time.perf_counter()
        for path in photographs:
            path.rename(process.bucket("uploads") / path.name)
        process.until(lambda: drawn(process) == 1 + len(photographs), "all thumbnails are there", 300)
        process.until(lambda: done(process) == 1 + len(photographs), "all events are settled")
        seconds = time.perf_counter() - begin
        events = process.control("status")["events"]["thumbnail"]
        assert set(events) == {"done"}, json.dumps(events)
        return len(photographs) / seconds
    finally:
        process.stop()


def done(process: DaemonProcess) -> int:
    time.sleep(0.05)
    return int(process.control("status")["events"].get("thumbnail", {}).get("done", 0))


def drawn(process: DaemonProcess) -> int:
    """Looked up in the directory: asking the daemon all the time would take of the time that is measured."""
    time.sleep(0.05)
    return sum(1 for entry in os.scandir(process.bucket("thumbnails")) if not entry.name.startswith("."))


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photographs = make_photographs(folder)
        bare = bare_loop(photographs)
        mine = ours(folder, photographs)
    return [Figure("thumbnails of 6 megapixels through the bucket", "a second", mine, bare, "bare two-process Pillow loop")]
