"""The command `layerlock`: from a command line to an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from layerlock.cli.arguments import parse
from layerlock.cli.call import Call
from layerlock.errors import DiskFull, LayerlockError

GRACE = 3.0
"""Seconds that downloads get to end after a failure; one that hangs would hold the command for its whole timeout."""


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end: the same as Ctrl-C to all that runs, but for the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code, as the table in `layerlock --help` says.

    Without `argv` the process is the command's own: it may end while threads of the command still wait.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks must not end a build.
            stream.reconfigure(errors="backslashreplace")
    _heed_signals()
    given = [*sys.argv[1:]] if argv is None else [*argv]
    code = _guarded(given, os.environ)
    _let_go_of_output()
    if code != 0 and argv is None:
        _end_threads(code)
    return code


def _guarded(argv: list[str], variables: Mapping[str, str]) -> int:
    """Run, and turn everything that may go wrong into a message and an exit code."""
    call: list[Call] = []
    try:
        code = _run(argv, variables, call)
        sys.stdout.flush()
    except LayerlockError as error:
        return _failed(error, call, variables)
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        _say(f"interrupted ({signal.Signals(number).name}); what was finished is kept")
        return 128 + number
    except BrokenPipeError:
        # Whoever read the output has enough.
        return 128 + signal.SIGPIPE
    except OSError as error:
        _trace(argv, variables)
        return _failed(_of_system(error), call, variables)
    except Exception as error:
        _trace(argv, variables)
        defect = LayerlockError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a defect of layerlock; LAYERLOCK_TRACEBACK=1 shows where it happened",
        )
        return _failed(defect, call, variables)
    return code


def _run(argv: list[str], variables: Mapping[str, str], begun: list[Call]) -> int:
    try:
        options = parse(argv)
    except SystemExit as done:
        # argparse has printed the help or the version.
        return int(done.code or 0)
    call = Call(
        options=options, variables=variables, current=_current(), stdout=sys.stdout, stderr=sys.stderr
    )
    begun.append(call)
    code: int = options.module.run(call)
    return code


def _current() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise LayerlockError("the current folder is gone", hint="change to another one") from None


def _failed(error: LayerlockError, call: list[Call], variables: Mapping[str, str]) -> int:
    try:
        if call:
            call[0].failed(error)
        else:
            from layerlock.cli.surroundings import coloured  # noqa: PLC0415 - most calls succeed
            from layerlock.ui.text import render_error  # noqa: PLC0415 - as above

            colour = coloured(variables, terminal=sys.stderr.isatty())
            sys.stderr.write(render_error(error, colour=colour) + "\n")
    except OSError:
        pass  # Nobody reads the message; the exit code still tells.
    return error.exit_code


def _of_system(error: OSError) -> LayerlockError:
    import errno  # noqa: PLC0415 - most calls succeed

    about = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(about, hint="make room (layerlock gc, or layerlock gc --max-size), then start again")
    return LayerlockError(about)


def _trace(argv: list[str], variables: Mapping[str, str]) -> None:
    if "--verbose" in argv or variables.get("LAYERLOCK_TRACEBACK"):
        import traceback  # noqa: PLC0415 - most calls succeed

        traceback.print_exc()


def _say(line: str) -> None:
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        pass


def _let_go_of_output() -> None:
    """Send to nowhere what cannot be written: Python would try once more at its end, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _heed_signals() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            # Under nohup, or in the background of a script, it is ignored and stays so; but a build, which would
            # inherit that, gets what it always gets: a handler ends with exec, and an ignored signal does not.
            signal.signal(number, _ignore)
        elif number in (signal.SIGTERM, signal.SIGHUP) and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    # Once is enough: a second one, as `timeout` and service managers send it, must not cut the clean-up short.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _end_threads(code: int) -> None:
    """Give the threads that still run a moment, then end the process without them.

    By now every build is ended and its folders are gone; what is left waits for a server. The store bears being
    left at any point.
    """
    until = time.monotonic() + GRACE
    others = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.current_thread() and not thread.daemon
    ]
    try:
        for thread in others:
            thread.join(max(0.0, until - time.monotonic()))
    except KeyboardInterrupt:
        pass
    if any(thread.is_alive() for thread in others):
        os._exit(code)
