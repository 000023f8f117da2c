"""An S3 server (moto's) in a process of its own, for stores: deltalake may hold the interpreter while it waits.

One request at a time: moto looks whether an object is there and puts it in two steps, and of two writers that put the
same entry of a log both would be let through.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem

KEY, SECRET = "testing-key", "testing-secret"


@contextmanager
def s3_process() -> Iterator[dict[str, str]]:
    """Start the server; gives the environment in which deltalake, fsspec and Arrow find it."""
    server = subprocess.Popen([sys.executable, "-m", "tests.s3_process"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            # Not the credentials of whoever runs the tests.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        server.kill()
        server.wait()


def make_bucket(name: str) -> str:
    """Make a bucket, in the environment of :func:`s3_process`; returns its URL."""
    file_system: AsyncFileSystem = fsspec.filesystem("s3", skip_instance_cache=True)
    file_system.mkdir(name)
    return f"s3://{name}"


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: Any) -> None:
            pass

    moto = DomainDispatcherApplication(create_backend_app)
    one = threading.Lock()

    def application(environ: Any, start_response: Any) -> Any:
        with one:
            return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve()
