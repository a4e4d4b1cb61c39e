"""Many streams of requests in the background, each at a fixed rate on a schedule of its own.

Every stream has threads of its own, so no slow service is in the way of another one. One thread of a stream holds the
turn: it waits until the next request is due, hands the turn on and then makes the request. A slow request therefore
delays none of its own stream either, as long as there are enough threads; since each request ends within the timeout,
``timeout / interval`` and one more are enough. Threads are started when they are needed: a service that answers
quickly takes two. Nobody else schedules, so a request costs one wake-up.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.core.errors import LabError
from lab.core.measurement.sample_lines import gapless, sample_line, stream_line
from lab.core.measurement.samples import Recording, Sample, StreamSpec
from lab.core.service_result import ProbeResult
from lab.doors.clock import Deadline, now_s
from lab.doors.json_lines import JsonLines

#: Makes the numbered request of a stream and says what a client saw; bounded by the stream's timeout.
Request = Callable[[StreamSpec, int], ProbeResult]

#: Beyond their own timeout, for requests under way when a busy machine stops measuring.
GRACE_S = 10.0


class StreamRunner:
    """Runs streams from :meth:`start` to :meth:`stop`, or for the length of a ``with`` block.

    Args:
        specs: the streams; their names are all different.
        request: makes one request, see :func:`lab.drivers.probes.stream_requests.requests_of`.
        path: file to which every sample is appended as a JSON line, too; see
            :mod:`lab.core.measurement.sample_lines`.

    Raises:
        LabError: two streams have one name, or an interval or a timeout is not positive.
    """

    def __init__(self, specs: Sequence[StreamSpec], request: Request, path: Path | None = None) -> None:
        if len({spec.name for spec in specs}) != len(specs):
            raise LabError("two streams have the same name", remedy="Ask each machine only once for each kind")
        for spec in specs:
            if not (spec.interval_s > 0 and spec.timeout_s > 0):
                raise LabError(f"{spec.name}: interval and timeout must be positive", remedy="Correct the rates")
        self._path = path
        self._lines: JsonLines | None = None
        self._streams = [_Stream(spec, request, self._written) for spec in specs]

    def start(self) -> None:
        """Begin; the streams' first requests are spread over one interval, so that they do not come in volleys.

        Raises:
            LabError: it was started before, or the file cannot be written.
        """
        if any(stream.started for stream in self._streams):
            raise LabError("the streams have been started before", remedy="Make a new runner for each recording")
        self._lines = JsonLines(self._path) if self._path else None
        start_s = now_s()
        if self._lines is not None:
            for stream in self._streams:
                self._lines.append(stream_line(stream.spec, start_s))
        for place, stream in enumerate(self._streams):
            stream.start(start_s, place / len(self._streams))

    def snapshot(self) -> tuple[Recording, ...]:
        """What has been recorded so far, each stream up to its oldest request that is still under way."""
        return tuple(stream.recording() for stream in self._streams)

    def answering(self) -> dict[str, bool]:
        """Per name of a stream, whether its latest request of which the verdict is known was answered."""
        return {stream.spec.name: stream.answering() for stream in self._streams}

    def missed(self) -> dict[str, int]:
        """Per name of a stream, requests that were never sent, because this machine was late by a whole interval."""
        return {stream.spec.name: stream.missed for stream in self._streams if stream.missed}

    def stop(self) -> tuple[Recording, ...]:
        """Send no more, wait for what is under way, and return everything; a second call returns the same.

        Raises:
            LabError: a request did not end long after its timeout, or the file could not be written.
            Exception: whatever a request raised instead of returning a result, which is a mistake of the caller.
        """
        for stream in self._streams:
            stream.end()
        limit_s = max((stream.spec.timeout_s for stream in self._streams), default=0.0) + GRACE_S
        deadline = Deadline.after(limit_s)
        for stream in self._streams:
            stream.join(deadline)
        if self._lines is not None:
            self._lines.close()
            if self._lines.trouble:
                raise LabError(f"samples were lost: {self._lines.trouble}", remedy="Free some space")
        for stream in self._streams:
            if stream.mistake is not None:
                raise stream.mistake
        return self.snapshot()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _written(self, spec: StreamSpec, sample: Sample) -> None:
        if self._lines is not None:
            self._lines.append(sample_line(spec, sample))


class _Stream:
    """One stream: its schedule, its threads and its samples."""

    def __init__(self, spec: StreamSpec, request: Request, written: Callable[[StreamSpec, Sample], None]) -> None:
        self.spec = spec
        self.mistake: Exception | None = None
        self.missed = 0
        self._request = request
        self._written = written
        self._most = math.ceil(spec.timeout_s / spec.interval_s) + 1
        #: Held by the one thread that waits for the next request to be due; guards the schedule.
        self._turn = threading.Lock()
        #: Guards samples and threads; never held while anything is waited for.
        self._state = threading.Lock()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._samples: dict[int, Sample] = {}
        self._latest = 0
        self._start_s = 0.0
        self._first_due_s = 0.0
        self._slot = 0
        self._number = 0

    @property
    def started(self) -> bool:
        return bool(self._threads)

    def start(self, start_s: float, offset: float) -> None:
        """Begin the schedule; ``offset`` is a share of the interval that the first request comes later."""
        self._start_s = start_s
        self._first_due_s = start_s + offset * self.spec.interval_s
        with self._state:
            self._add_thread()

    def end(self) -> None:
        self._ended.set()

    def join(self, deadline: Deadline) -> None:
        """Wait for the threads to end.

        Raises:
            LabError: one has not at the deadline.
        """
        while True:
            with self._state:
                alive = [thread for thread in self._threads if thread.is_alive()]
            if not alive:
                return
            alive[0].join(deadline.remaining_s())
            if alive[0].is_alive():
                raise LabError(f"{self.spec.name}: a request did not end", details=[str(alive[0])])

    def recording(self) -> Recording:
        with self._state:
            samples = dict(self._samples)
        return Recording(self.spec, gapless(samples), self._start_s)

    def answering(self) -> bool:
        with self._state:
            return self._latest > 0 and self._samples[self._latest].ok

    def _add_thread(self) -> None:
        """Start one more; the state is held by the caller."""
        number = len(self._threads) + 1
        thread = threading.Thread(target=self._work, name=f"{self.spec.name} {number}", daemon=True)
        self._threads.append(thread)
        self._waiting += 1
        thread.start()

    def _work(self) -> None:
        while not self._ended.is_set():
            with self._turn:
                if not self._due():
                    return
                self._number += 1
                number = self._number
                with self._state:
                    self._waiting -= 1
                    if not self._waiting and len(self._threads) < self._most:
                        self._add_thread()
                sent_s = now_s()
            self._keep(self._asked(number, sent_s))

    def _due(self) -> bool:
        """Wait for the next place in the schedule; False when the stream has ended instead.

        Places that passed while this machine was too busy (or asleep) are counted and left out: a volley of late
        requests would tell nothing and hit a service that has just come back.
        """
        interval_s = self.spec.interval_s
        late = math.floor((now_s() - self._first_due_s) / interval_s) - self._slot
        if late > 0:
            self.missed += late
            self._slot += late
        due_s = self._first_due_s + self._slot * interval_s
        self._slot += 1
        return not self._ended.wait(max(0.0, due_s - now_s()))

    def _asked(self, number: int, sent_s: float) -> Sample:
        try:
            result = self._request(self.spec, number)
        except Exception as error:
            # Raised again by stop(), where somebody can see it; the other streams go on.
            self.mistake = self.mistake or error
            return Sample(number, sent_s, now_s(), False, f"{type(error).__name__}: {error}")
        return Sample(number, sent_s, now_s(), result.ok, "" if result.ok else result.detail)

    def _keep(self, sample: Sample) -> None:
        with self._state:
            self._samples[sample.number] = sample
            self._latest = max(self._latest, sample.number)
            self._waiting += 1
        self._written(self.spec, sample)
