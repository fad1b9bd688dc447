"""An S3 server in a thread of this process, and the environment that leads its clients there."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem


class S3:
    """A server; each of its addresses is a bucket that nobody else uses."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line per request
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def url(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """An empty place, for clients of this process."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        bucket = f"bucket-{uuid4().hex}"  # servers of one process share what they hold
        S3FileSystem(skip_instance_cache=True).mkdir(bucket)
        return f"s3://{bucket}/some/models"

    def stop(self) -> None:
        """End it."""
        self._server.stop()
