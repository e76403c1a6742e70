"""A real S3 server for tests: SeaweedFS's `weed`, started and ended by process id."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCESS_KEY = "test-access-key"
READER_KEY = "test-access-key-that-may-only-read"
SECRET_KEY = "test-secret-key-that-must-not-leak"
BUCKET = "warehouse"


class Seaweed:
    """A running server with one empty bucket, an identity that may do all, and one that reads."""

    def __init__(self, folder: Path) -> None:
        (folder / "volumes").mkdir(parents=True)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        reader = {
            "name": "reader",
            "credentials": [{"accessKey": READER_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Read", "List"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity, reader]}))
        names = ("master", "volume", "filer", "s3")
        ports = dict(zip((*names, *(f"{n}.grpc" for n in names)), _free_ports(8), strict=True))
        program = Path(sys.executable).parent / "weed"
        command = [str(program) if program.exists() else shutil.which("weed") or "weed"]
        command += ["server", "-ip=127.0.0.1", f"-dir={folder / 'volumes'}", "-filer", "-s3"]
        command += [f"-s3.config={folder / 's3.json'}", "-master.telemetry=false"]
        command += [f"-{n}.port={ports[n]}" for n in names]
        command += [f"-{n}.port.grpc={ports[f'{n}.grpc']}" for n in names]
        # Side services that nobody asked for listen on fixed ports.
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-master.volumeSizeLimitMB=256", "-volume.max=100"]
        self._log = (folder / "weed.log").open("wb")
        self._log_path = folder / "weed.log"
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=subprocess.STDOUT, cwd=folder
        )
        self.endpoint = f"http://127.0.0.1:{ports['s3']}"
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def options(self) -> dict[str, str]:
        """Storage options of the warehouse for this server."""
        return {
            "aws_endpoint": self.endpoint,
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "aws_region": "us-east-1",
            "allow_http": "true",
        }

    def client(self):
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )

    def stop(self) -> None:
        # Its orderly end takes 25 s (2026-11-22), for data that nobody wants any more.
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _await_ready(self) -> None:
        limit = time.monotonic() + 120
        while time.monotonic() < limit:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=5) as answer:
                    if answer.status == 200:
                        self._create_bucket(limit)
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise RuntimeError(f"weed did not start:\n{self._log_path.read_text()[-3000:]}")

    def _create_bucket(self, limit: float) -> None:
        import botocore.exceptions

        while True:
            try:
                self.client().create_bucket(Bucket=BUCKET)
                self.client().put_object(Bucket=BUCKET, Key="ready", Body=b"")
                return
            except botocore.exceptions.ClientError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()
