"""The door to programs that a stream goes through, such as a compressor: they end with this process, in any case."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lab.core.errors import LabError
from lab.doors.background import end
from lab.doors.files import SECRET_MODE
from lab.doors.process import PASSED_ENVIRONMENT, ProcessError, Result, shown

#: How long a program may take for its end once its input has ended.
_LAST_S = 120.0


@contextmanager
def writing(argv: Sequence[str], output: Path, *, timeout_s: float, remedy: str = "") -> Iterator[IO[bytes]]:
    """A stream into a program whose output becomes a file, of mode 0600; the file appears when all went well.

    Args:
        argv: program and arguments; never a shell line.
        output: the file; one that exists is replaced at the end.
        timeout_s: deadline of all of it, seconds.
        remedy: what a person can try.

    Raises:
        ProcessError: the program failed, or ran past the deadline; nothing is left behind.
        LabError: the file cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    except OSError as error:
        raise LabError(f"cannot write {output}: {error.strerror}", remedy=remedy) from error
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            draft.chmod(SECRET_MODE)
            with _started(argv, timeout_s, remedy, stdin=subprocess.PIPE, stdout=file) as process:
                assert process.stdin
                yield process.stdin
            os.fsync(file.fileno())
        draft.replace(output)
    except OSError as error:
        raise LabError(f"cannot write {output}: {error.strerror or error}", remedy=remedy) from error
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def reading(argv: Sequence[str], source: Path, *, timeout_s: float, remedy: str = "") -> Iterator[IO[bytes]]:
    """The output of a program whose input is a file; it has to end well when it has been read to its end.

    Args:
        argv: program and arguments; never a shell line.
        source: the file.
        timeout_s: deadline of all of it, seconds.
        remedy: what a person can try.

    Raises:
        ProcessError: the program failed, or ran past the deadline.
        LabError: the file cannot be read.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise LabError(f"cannot read {source}: {error.strerror}", remedy="Give the file of a bundle") from error
    with file, _started(argv, timeout_s, remedy, stdin=file, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield process.stdout


@contextmanager
def _started(argv: Sequence[str], timeout_s: float, remedy: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    words = ["setpriv", "--pdeathsig", "KILL", *argv]
    environment = {key: os.environ[key] for key in PASSED_ENVIRONMENT if key in os.environ}
    with tempfile.TemporaryFile() as errors:

        def failure(what: str) -> ProcessError:
            errors.seek(0)
            text = errors.read(4096).decode(errors="replace")
            code = process.returncode if process.returncode is not None else -1
            return ProcessError(what, Result(tuple(argv), code, "", text), remedy=remedy)

        process = subprocess.Popen(
            words, stderr=errors, env={**environment, "LC_ALL": "C.UTF-8"}, start_new_session=True, **streams
        )
        timer = threading.Timer(timeout_s, process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield process
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            code = process.wait(timeout=_LAST_S)
        except BrokenPipeError:
            end(process)
            raise failure(f"`{shown(list(argv))}` does not take any more") from None
        except subprocess.TimeoutExpired:
            raise failure(f"`{shown(list(argv))}` did not end") from None
        finally:
            timer.cancel()
            end(process)
            with contextlib.suppress(OSError):
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        stream.close()
        if code:
            raise failure(f"`{shown(list(argv))}` failed with exit code {code}")
