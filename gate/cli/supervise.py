"""Runs a command as one process group: passes signals and the exit code on, and stops all of it when told to."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from gate.errors import InputError

# What schedulers send to jobs: stop, reload, and Slurm's and users' own warnings.
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_POLL = 0.05  # seconds between looks at a group that is to end


def supervise(
    command: Sequence[str], environ: Mapping[str, str], check: Callable[[], None], *, every: float, grace: float
) -> int:
    """Run `command` until it ends.

    Args:
        command: program and arguments. It reads our standard input, or nothing where that is a terminal.
        environ: its environment.
        check: called every `every` seconds while it runs; whatever it raises stops the command and is raised again.
        every: seconds.
        grace: seconds between asking the command to stop (TERM) and stopping it (KILL).

    Returns:
        The command's exit code; 128 and the number of the signal that ended it.

    Raises:
        InputError: the command cannot be started.
    """
    with _Forwarder() as signals:
        process = _started(command, environ)
        signals.to(process.pid)
        try:
            return _watched(process, check, every)
        finally:
            # Also after a normal end: what it left behind would go on without anybody looking.
            _stop(process, grace)


def _watched(process: subprocess.Popen[bytes], check: Callable[[], None], every: float) -> int:
    while True:
        try:
            code = process.wait(timeout=every)
        except subprocess.TimeoutExpired:
            check()
        else:
            return code if code >= 0 else 128 - code


def _started(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    stdin = subprocess.DEVNULL if sys.stdin is not None and sys.stdin.isatty() else None
    try:
        # A group of its own: a launcher's workers are stopped with it, and no signal arrives twice.
        return subprocess.Popen(  # noqa: S603
            list(command),
            env=dict(environ),
            stdin=stdin,
            process_group=0,
            preexec_fn=_end_with_us if sys.platform == "linux" else None,
        )
    except OSError as error:
        raise InputError(f"cannot be started: {error.strerror}", where=command[0]) from None


def _stop(process: subprocess.Popen[bytes], grace: float) -> None:
    _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while _alive(process) and time.monotonic() < deadline:
        time.sleep(_POLL)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _alive(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is None:
        return True
    with suppress(ChildProcessError):
        # As process 1 of a pod we inherit orphans: whoever is dead already must not count as a member.
        while os.waitpid(-process.pid, os.WNOHANG) != (0, 0):
            pass
    return _signal(process.pid, 0)


def _signal(group: int, number: int) -> bool:
    """Signal a process group; return whether there is one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # a member runs as another user (sudo): the others have got it
        return True
    return True


class _Forwarder:
    """Passes signals on to a process group; those that come before there is one wait for it."""

    def __init__(self) -> None:
        self._group: int | None = None
        self._early: list[int] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # What is ignored already (nohup) stays so; the command inherits that.
        numbers = [number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._forward) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def to(self, group: int) -> None:
        """Forward to this group from now on."""
        self._group = group
        for number in self._early:
            _signal(group, number)

    def _forward(self, number: int, _: FrameType | None) -> None:
        if self._group is None:
            self._early.append(number)
        else:
            _signal(self._group, number)


def _end_with_us() -> None:
    """Have the kernel end the command when we are killed: nobody would look after it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
