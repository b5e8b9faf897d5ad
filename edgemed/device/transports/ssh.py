"""A device over SSH: one connection, SFTP for the bytes, the device's own edgemed for everything that decides.

Rules: a host key that no known_hosts file lists ends the attempt before a password or key is shown to it, whatever the
user's SSH configuration says about checking; nothing is asked where nobody can answer; each wait has a limit. The
user's ``~/.ssh/config`` is read: aliases, jump hosts, identity files.

    async with ssh.connected(address, SshOptions()) as session:
        state = await session.probe(upload)

Needs the extra ``ssh`` (asyncssh), imported when a connection is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
from collections.abc import AsyncIterator, Iterator
from typing import Any

from edgemed.device.transports import (
    Advance,
    DeviceState,
    Installed,
    Installing,
    UnansweredError,
    Upload,
    login,
    remote,
)
from edgemed.device.transports.address import SshAddress
from edgemed.device.transports.login import SshOptions
from edgemed.device.transports.remote import Answer
from edgemed.errors import BundleError, DeviceError, InstallError, TargetMismatchError

__all__ = ["Session", "SshOptions", "connected"]

_PIECE_BYTES = 256 << 10  # one step of the progress bar; SFTP splits it and keeps the pieces in flight together
_STATUS_LIMIT_S = 300.0  # an emulated or loaded device starts Python slowly
_INSTALL_LIMIT_S = 1800.0  # the health check has its own, far shorter limit on the device
_READ_ONLY = 1  # ST_RDONLY of statvfs, as SFTP's statvfs@openssh.com extension gives it


@contextlib.asynccontextmanager
async def connected(address: SshAddress, options: SshOptions) -> AsyncIterator[Session]:
    """Open one connection to a device, and close it whatever happens.

    Raises:
        DeviceError: unreachable, its host key is unknown or changed, or it does not let this user in.
        ConfigError: the identity or the known_hosts file cannot be used.
        MissingDependencyError: the extra ``ssh`` is not installed.
    """
    connection = await login.connect(address, options)
    try:
        yield Session(connection, address)
    finally:
        # Nothing is under way any more, or the user wants out: no goodbye that a dead link would never answer.
        connection.abort()
        await connection.wait_closed()


class Session:
    """An open connection to one device; implements `edgemed.device.transports.Transport`."""

    def __init__(self, connection: Any, address: SshAddress) -> None:
        self._connection = connection
        self._address = address
        self._files: Any = None
        self._woken: Any = None  # the process on the device that will tell the status
        self._receiver: Any = None  # the same, once it has told the status: it installs later

    @property
    def place(self) -> str:
        """The address, as ``ssh://user@host:port/store``."""
        return str(self._address)

    @property
    def store(self) -> str:
        """The store's path on the device."""
        return self._address.store

    async def wake(self) -> None:
        """Start the process there that tells the status and installs: its imports take as long as a small upload.

        Raises:
            DeviceError: as `Transport.wake`.
        """
        if self._woken is None:
            line = remote.command(self.store, *remote.receive_words(self.store))
            starting = self._connection.create_process(line, encoding=None)
            self._woken = await self._in_time(starting, _STATUS_LIMIT_S)

    async def probe(self, upload: Upload) -> DeviceState:
        """Return what the device says of itself; its answer and the look at the inbox take one wait, not two.

        Raises:
            EdgemedError: as `Transport.probe`.
        """
        answer, received = await _both(self._state(), self._received(upload))
        state = remote.status(answer, place=self.place)
        return DeviceState(
            place=self.place,
            target=state.target,
            runtime=state.runtime,
            active=state.running(),
            release_floors=state.release_floors,
            free_bytes=state.free_bytes,
            received_bytes=received,
            unit=state.device,
            opens_encrypted=state.opens_encrypted,
        )

    async def put(self, upload: Upload, *, offset: int, advance: Advance) -> None:
        """Write the bytes from ``offset`` on; what has arrived stays when the connection is lost.

        Raises:
            DeviceError: as `Transport.put`.
        """
        await self.write(self._inbox(upload), upload.raw, offset=offset, advance=advance)

    async def install(self, upload: Upload, how: Installing) -> Installed:
        """Have it installed there; the upload is deleted unless another attempt may use it.

        Raises:
            EdgemedError: as `Transport.install`.
        """
        path = self._inbox(upload)
        try:
            answer = await self._ordered(path, how)
        except DeviceError as err:
            raise UnansweredError(str(err)) from err
        try:
            done = remote.installed(answer, place=self.place)
        except (BundleError, InstallError, TargetMismatchError):
            await self._remove(path)
            raise
        await self._remove(path)
        return done

    async def run(self, line: str, *, limit_s: float, limit_bytes: int = remote.ANSWER_LIMIT_BYTES) -> Answer:
        """Run one command line on the device and return how it ended, with up to ``limit_bytes`` + 1 of each stream.

        Raises:
            DeviceError: the connection was lost, or the command was still running after ``limit_s`` seconds.
        """
        answer: Answer = await self._in_time(self._answer(line, limit_bytes), limit_s)
        return answer

    async def write(self, path: str, raw: bytes, *, offset: int = 0, advance: Advance = lambda _: None) -> None:
        """Write bytes to a file on the device from ``offset`` on, which is where an earlier attempt has ended.

        Raises:
            DeviceError: the connection was lost, or the device's disk is full, read-only or closed to this user.
        """
        arrived = offset
        with self._translated(lambda: f"{arrived} of {len(raw)} bytes had arrived"):
            files = await self._sftp()
            try:
                async with files.open(path, "r+b" if offset else "wb") as file:
                    for start in range(offset, len(raw), _PIECE_BYTES):
                        piece = raw[start : start + _PIECE_BYTES]
                        await file.write(piece, start)
                        arrived += len(piece)
                        advance(len(piece))
            except login.library().SFTPError as err:
                raise DeviceError(await self._refused(path, len(raw) - arrived, err)) from err

    async def _in_time(self, work: Any, limit_s: float) -> Any:
        """Await what a process on the device says, or say what came in between."""
        with self._translated("the command was answered"):
            try:
                return await _within(limit_s, work)
            except asyncio.TimeoutError as err:
                raise DeviceError(
                    f"{self.place}: no answer within {limit_s:g} s; look at the device, then run the same command again"
                ) from err

    async def _state(self) -> Answer:
        """Return the first line of what installs later: the status of the store."""
        await self.wake()
        process, self._woken = self._woken, None
        answer: Answer = await self._in_time(self._first_line(process), _STATUS_LIMIT_S)
        if remote.is_older(answer):
            line = remote.command(self.store, *remote.status_words(self.store))
            return await self.run(line, limit_s=_STATUS_LIMIT_S)
        return answer

    async def _first_line(self, process: Any) -> Answer:
        try:
            first = await process.stdout.readline()
        except asyncio.IncompleteReadError as err:
            first = err.partial
        if not first:
            return await self._end(process)
        self._receiver = process
        return Answer(code=0, stdout=first, stderr=b"")

    async def _ordered(self, path: str, how: Installing) -> Answer:
        """Have the process that told the status install a file, or a new one where the edgemed there is older."""
        if self._receiver is None:
            line = remote.command(self.store, *remote.install_words(self.store, path, how))
            return await self.run(line, limit_s=_INSTALL_LIMIT_S)
        process, self._receiver = self._receiver, None
        with contextlib.suppress(BrokenPipeError):  # it has ended meanwhile: how is its answer
            process.stdin.write(remote.order(path, how))
        answer: Answer = await self._in_time(self._end(process), _INSTALL_LIMIT_S)
        return answer

    async def _answer(self, line: str, limit_bytes: int) -> Answer:
        process = await self._connection.create_process(line, stdin=login.library().DEVNULL, encoding=None)
        return await self._end(process, limit_bytes)

    async def _end(self, process: Any, limit_bytes: int = remote.ANSWER_LIMIT_BYTES) -> Answer:
        """Return what a process says until it ends."""
        try:
            limit = limit_bytes + 1
            stdout, stderr = await _both(process.stdout.read(limit), process.stderr.read(limit))
            if len(stdout) < limit and len(stderr) < limit:
                await process.wait_closed()
        finally:
            process.close()
        code = None if process.exit_signal else process.exit_status
        return Answer(code=code, stdout=stdout, stderr=stderr)

    async def _received(self, upload: Upload) -> int:
        """Return how many leading bytes of the upload lie in the inbox; what differs counts for nothing."""
        path = self._inbox(upload)
        with self._translated("anything was sent"):
            files = await self._sftp()
            try:
                size = (await files.stat(path)).size
            except login.library().SFTPError:
                return 0
        if not 0 < size <= upload.size_bytes:
            return 0
        # A power cut leaves the length of a file and zeros for its bytes: the length alone proves nothing.
        answer = await self.run(remote.shell(f"sha256sum < {shlex.quote(path)}"), limit_s=_STATUS_LIMIT_S)
        same = hashlib.sha256(upload.raw[:size]).hexdigest().encode()
        return size if answer.code == 0 and answer.stdout.split()[:1] == [same] else 0

    async def _sftp(self) -> Any:
        if self._files is None:
            try:
                self._files = await self._connection.start_sftp_client()
            except (login.library().ChannelOpenError, login.library().SFTPError) as err:
                raise DeviceError(
                    f"{self.place}: its SSH server offers no SFTP: {_said(err)}; add 'Subsystem sftp internal-sftp' "
                    "to its sshd_config"
                ) from err
        return self._files

    async def _remove(self, path: str) -> None:
        """Delete an upload; one that stays costs space and nothing else."""
        with contextlib.suppress(login.library().Error, OSError):
            await (await self._sftp()).remove(path)

    async def _refused(self, path: str, missing: int, err: Exception) -> str:
        """Say why the device took no bytes: OpenSSH answers "Failure" to a full disk and to a read-only one alike."""
        folder = path.rpartition("/")[0]
        with contextlib.suppress(login.library().SFTPError):
            space = await (await self._sftp()).statvfs(folder)
            if space.flags & _READ_ONLY:
                return f"{self.place}: {folder} is on a read-only file system; mount it writable, then run this again"
            free = space.frsize * space.bavail
            if free < missing:
                return (
                    f"{self.place}: its disk is full: {free} bytes are free, {missing} more are needed in {folder}; "
                    "make space, then run the same command again: it goes on from there"
                )
        return f"{self.place}: {path} cannot be written: {_said(err)}; does this user own the store?"

    def _inbox(self, upload: Upload) -> str:
        return f"{self.store}/inbox/{upload.sha256}.upload"

    @contextlib.contextmanager
    def _translated(self, before: Any) -> Iterator[None]:
        """Turn a lost connection into a `DeviceError` that says how far things had come."""
        library = login.library()
        try:
            yield
        except (library.DisconnectError, library.ChannelOpenError, library.SFTPConnectionLost, OSError) as err:
            when = f"after {before()}" if callable(before) else f"before {before}"
            raise DeviceError(
                f"{self.place}: the connection was lost {when}: {_said(err)}; run the same command again, "
                "it goes on from there"
            ) from err


def _said(err: Exception) -> str:
    """Return what asyncssh or the system says, without the reason's number."""
    return str(getattr(err, "reason", "") or getattr(err, "strerror", "") or err) or type(err).__name__


async def _within(limit_s: float, work: Any) -> Any:
    """Await something for so long at most.

    Not `asyncio.wait_for`: before Python 3.12 that forgets a Ctrl-C which comes as the work ends.

    Raises:
        asyncio.TimeoutError: it was not done.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([task], timeout=limit_s)
        if not done:
            raise asyncio.TimeoutError
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _both(first: Any, second: Any) -> tuple[Any, Any]:
    """Await two things at once; when one fails the other is cancelled and waited for."""
    tasks = [asyncio.ensure_future(first), asyncio.ensure_future(second)]
    try:
        done = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done[0], done[1]
