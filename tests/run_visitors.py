"""Let many visitors use ``scm app`` at once: each uploads a photo and gets a picture; memory and disk stay bounded.

``python tests/run_visitors.py --visitors 100 --at-once 10`` prints the numbers for docs/reliability.md. Visitors come
from addresses of their own (127.0.1.N); the model has random weights, the analyser is the built-in one.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from scmnet_cli import checkpoint
from scmnet_cli.config import parse_config
from scmnet_cli.models.build import build_generator
from scmnet_cli.sources.drawn import draw_person

PATIENCE = 3600


class Visitor:
    """Somebody at an address of their own."""

    def __init__(self, url: str, number: int, photo: Path) -> None:
        self._at, self._number, self._photo = urlsplit(url), number, photo
        self._address = f"127.0.{1 + number // 200}.{1 + number % 200}"

    def visit(self) -> tuple[int, str, float]:
        """Open the page, upload the photo and wait for the picture; return what happened, and the seconds it took."""
        started = time.monotonic()
        try:
            found = self._visit()
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            found = f"{type(error).__name__}: {error}"
        return self._number, found, time.monotonic() - started

    def _visit(self) -> str:
        status, _ = self._ask("GET", "/")
        if status != http.client.OK:
            return f"the page answered {status}"
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="me.jpg"\r\n\r\n'
        body = head + self._photo.read_bytes() + b"\r\n--x--\r\n"
        status, answer = self._ask("POST", "/gradio_api/upload", body, "multipart/form-data; boundary=x")
        if status != http.client.OK:
            return f"the upload answered {status}"
        file = {"path": json.loads(answer)[0], "meta": {"_type": "gradio.FileData"}}
        asked = json.dumps({"data": [file], "session_hash": f"visitor{self._number}"}).encode()
        status, answer = self._ask("POST", "/gradio_api/call/photo", asked, "application/json")
        if status != http.client.OK:
            return f"the call answered {status}"
        status, answer = self._ask("GET", f"/gradio_api/call/photo/{json.loads(answer)['event_id']}")
        text = answer.decode()
        if "event: complete" not in text:
            return f"the picture did not come: {text[-200:]}"
        picture = text[text.rindex("data:image/") :].split('"')[0] if "data:image/" in text else ""
        return f"picture {hashlib.sha256(picture.encode()).hexdigest()[:12]}" if picture else "no picture in the answer"

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            self._at.hostname or "", self._at.port, timeout=PATIENCE, source_address=(self._address, 0)
        )
        try:
            connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def most_memory(process: subprocess.Popen[str]) -> float:
    """Return the peak memory of the server in GB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def size_of(folder: Path) -> float:
    """Return how many MB a folder holds."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Start the app, and let the visitors come."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here, disk = Path(name), Path(name) / "disk"
        disk.mkdir()
        config = parse_config({"model": {"size": "tiny", "height": 64, "width": 48}}, "test")
        checkpoint.save_model(here / "model.safetensors", build_generator(config.model).state_dict(), config)
        photos = []
        for number in range(4):
            photos.append(here / f"{number}.jpg")
            Image.fromarray(draw_person(number).image).save(photos[-1])
        command = [sys.executable, "-m", "scmnet_cli", "app", "-m", str(here / "model.safetensors"), "--no-browser"]
        environment = {**os.environ, "TMPDIR": str(disk)}
        with (
            (here / "log.txt").open("w") as log,
            subprocess.Popen(
                [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            ) as process,
        ):
            url = (process.stdout.readline() if process.stdout else "").strip()
            before = most_memory(process)
            visitors = [Visitor(url, number, photos[number % len(photos)]) for number in range(given.visitors)]
            with ThreadPoolExecutor(given.at_once) as pool:
                visits = list(pool.map(Visitor.visit, visitors))
            after, on_disk = most_memory(process), size_of(disk)
            process.send_signal(signal.SIGINT)
            process.wait(120)
        failed = [what for _, what, _ in visits if not what.startswith("picture")]
        different = [
            len({what for number, what, _ in visits if number % len(photos) == kind}) for kind in range(len(photos))
        ]
        seconds = np.array([took for _, _, took in visits])
        sys.stdout.write(
            f"{given.visitors} visitors, {given.at_once} at a time: {given.visitors - len(failed)} pictures, "
            f"{len(failed)} without{f' ({failed[0]})' if failed else ''}; "
            f"different pictures for each of the {len(photos)} photos: {different}\n"
            f"memory of the server: {before:.2f} GB at the start, {after:.2f} GB at most; "
            f"its disk: {on_disk:.1f} MB after them, {size_of(disk):.1f} MB after its end\n"
            f"a visit took {np.median(seconds):.1f} s (median), {seconds.max():.1f} s at most; exit code "
            f"{process.returncode}\n"
        )
        sys.stdout.write((here / "log.txt").read_text(encoding="utf-8")[-1500:])


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main()
