"""Servers that speak S3: OpenStack Swift, which checks everything, rclone's, and moto for object locks.

Swift is four processes on one folder: what each of them needs is written into a configuration of its own.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers import install
from tests.servers.processes import free_port, quick_folder, started
from tests.servers.proxy import LOOPBACK

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ROOM = 2 << 30  # bytes
BUCKET = "backups"
SWIFT_PAGE = 50  # objects in a page of a listing: Swift takes its time to make a thousand


@dataclass(frozen=True)
class S3Server:
    """A server, and the one user that it knows."""

    port: int
    key: str
    secret: str = field(repr=False)
    scheme: str = "http"

    def url(self, prefix: str, *, bucket: str = BUCKET, port: int | None = None, **options: Any) -> str:
        """The URL of a place in a bucket, for us."""
        endpoint = f"{self.scheme}://{LOOPBACK}:{port or self.port}"
        query = urlencode({"endpoint": endpoint, "path_style": "true", **options})
        return f"s3://{quote(self.key, safe='')}:{self.secret}@{bucket}/{prefix}?{query}"

    @cache  # noqa: B019  # a handful of servers, each as long as the session
    def client(self, **settings: Any) -> S3Client:
        """A client of the tests' own, to see what is really there."""
        session = Session(aws_access_key_id=self.key, aws_secret_access_key=self.secret, region_name="us-east-1")
        config = Config(s3={"addressing_style": "path"})
        endpoint = f"{self.scheme}://{LOOPBACK}:{self.port}"
        return session.client("s3", endpoint_url=endpoint, config=config, **settings)

    def unfinished(self, bucket: str = BUCKET) -> list[str]:
        """The keys of multipart uploads that were begun and neither completed nor aborted."""
        try:
            return [one["Key"] for one in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
        except ClientError as failure:
            if failure.response["Error"]["Code"] == "NoSuchUpload":  # rclone, where there never was one
                return []
            raise


@contextmanager
def _log(name: str) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix=f"{name}-") as log:
        yield Path(log.name)


def listens(port: int) -> bool:
    """Whether somebody takes connections on this port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


# --- rclone -----------------------------------------------------------------------------------------------


def rclone_program() -> Path:
    """The program. Fails the test when it is not installed."""
    for program in install.RCLONE.folder.glob("**/rclone"):
        if program.is_file() and program.stat().st_size > 1 << 20:
            program.chmod(0o755)
            return program
    pytest.fail(f"rclone is not in {install.cache()}; {install.INSTALL}")


@contextmanager
def rclone_serving(folder: Path, *options: str) -> Iterator[S3Server]:
    """``rclone serve s3`` on a folder, in which each folder is a bucket."""
    port, key, secret = free_port(), secrets.token_hex(8), secrets.token_urlsafe(24)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "RCLONE_AUTH_KEY": f'"{key},{secret}"'}
    argv = [rclone_program(), "serve", "s3", "--addr", f"{LOOPBACK}:{port}", "--config", os.devnull, *options, folder]
    with _log("rclone") as log, started(argv, lambda: listens(port), log, env=environment):
        yield S3Server(port, key, secret)


# --- OpenStack Swift --------------------------------------------------------------------------------------

RINGS = """
import sys
from swift.common.ring import RingBuilder
folder, *ports = sys.argv[1:]
for name, port in zip(("account", "container", "object"), ports):
    builder = RingBuilder(4, 1, 1)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
"""
COMMON = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_address = {folder}/no-syslog
"""
STORE = """
[pipeline:main]
pipeline = {name}-server

[app:{name}-server]
use = egg:swift#{name}
"""
PROXY = """
[pipeline:main]
pipeline = catch_errors healthcheck cache s3api tempauth slo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{nobody}

[filter:s3api]
use = egg:swift#s3api
s3_acl = false
allow_multipart_uploads = true
min_segment_size = 5242880
max_bucket_listing = {page}

[filter:tempauth]
use = egg:swift#tempauth
user_test_{key} = {secret} .admin

[filter:slo]
use = egg:swift#slo
"""


@contextmanager
def swift_serving(room: int = ROOM) -> Iterator[S3Server]:
    """Swift with its S3 interface, the bucket of the tests in it, and so many bytes of room."""
    if not install.SWIFT.folder.is_dir():
        pytest.fail(f"Swift is not in {install.cache()}; {install.INSTALL}")
    folder = Path(tempfile.mkdtemp(prefix="dbackup-swift-", dir=quick_folder(room)))
    try:
        with ExitStack() as stack:
            yield _swift(folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swift(folder: Path, stack: ExitStack) -> S3Server:
    key, secret = "tester", secrets.token_urlsafe(24)
    ports = {name: free_port() for name in ("account", "container", "object", "proxy")}
    (folder / "devices" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = tests\n")
    (folder / "rings.py").write_text(RINGS)
    for name, port in ports.items():
        facts = {"name": name, "port": port, "user": getpass.getuser(), "folder": folder, "key": key, "secret": secret}
        text = COMMON + (PROXY if name == "proxy" else STORE)
        (folder / f"{name}.conf").write_text(text.format(**facts, nobody=free_port(), page=SWIFT_PAGE))
    stores = [str(ports[name]) for name in ("account", "container", "object")]
    subprocess.run([sys.executable, folder / "rings.py", folder, *stores], env=_swift_env(folder), check=True)
    for name, port in ports.items():
        program = install.SWIFT.folder / "bin" / f"swift-{name}-server"
        argv = [sys.executable, program, folder / f"{name}.conf", "-v"]
        stack.enter_context(
            started(argv, lambda port=port: listens(port), folder / f"{name}.log", env=_swift_env(folder))  # type: ignore[misc]
        )
    server = S3Server(ports["proxy"], f"test:{key}", secret)
    server.client().create_bucket(Bucket=BUCKET)
    return server


def _swift_env(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(install.SWIFT.folder),
        "SWIFT_CONF_FILE": str(folder / "swift.conf"),
    }


# --- moto -------------------------------------------------------------------------------------------------


@contextmanager
def moto_serving() -> Iterator[S3Server]:
    """moto, which accepts every secret, and knows object locks and versions."""
    port = free_port()
    program = install.MOTO.folder / "bin" / "moto_server"
    if not program.is_file():
        pytest.fail(f"moto is not in {install.cache()}; {install.INSTALL}")
    argv = [sys.executable, program, "-H", LOOPBACK, "-p", str(port)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(install.MOTO.folder)}
    with _log("moto") as log, started(argv, lambda: listens(port), log, env=environment):
        yield S3Server(port, "key", "any-secret-will-do")


# --- fixtures ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def swift() -> Iterator[S3Server]:
    """OpenStack Swift: it checks signatures, checksums and conditions, and has the bucket of the tests."""
    with swift_serving() as server:
        yield server


@pytest.fixture(scope="session")
def rclone() -> Iterator[S3Server]:
    """``rclone serve s3``: it checks signatures and MD5, and overwrites whatever it is told to."""
    with tempfile.TemporaryDirectory(prefix="dbackup-rclone-", dir=quick_folder(ROOM)) as folder:
        (Path(folder) / BUCKET).mkdir()
        with rclone_serving(Path(folder)) as server:
            yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """moto: it checks nothing, and knows versions and object locks."""
    with moto_serving() as server:
        yield server
