"""Samples as JSON lines: one line announces each stream, then one for each request in the order of their ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.core.errors import LabError
from lab.core.measurement.samples import Recording, Sample, StreamSpec

_SPEC: TypeAdapter[StreamSpec] = TypeAdapter(StreamSpec)
_SAMPLE: TypeAdapter[Sample] = TypeAdapter(Sample)


def stream_line(spec: StreamSpec, started_s: float) -> dict[str, Any]:
    """The announcement of a stream and of when its recording began."""
    return {"stream": spec.name, "spec": asdict(spec), "started_s": started_s}


def sample_line(spec: StreamSpec, sample: Sample) -> dict[str, Any]:
    """One request of a stream, times in microseconds' precision."""
    times = {"sent_s": round(sample.sent_s, 6), "received_s": round(sample.received_s, 6)}
    return {"stream": spec.name, **asdict(sample), **times}


def recordings_of_lines(lines: Iterable[str]) -> tuple[Recording, ...]:
    """The recordings that were written; a last line that was cut off (the writer was killed) is left out.

    A stream ends before the first number that is missing, which happens when the writer was killed.

    Raises:
        LabError: a line is not one of these.
    """
    recordings: dict[str, Recording] = {}
    samples: dict[str, dict[int, Sample]] = {}
    texts = [line for line in lines if line.strip()]
    for place, text in enumerate(texts, start=1):
        try:
            document = json.loads(text)
            name = document.pop("stream")
            if "spec" in document:
                spec = _SPEC.validate_python(document["spec"])
                recordings[name] = Recording(spec, (), float(document["started_s"]))
                samples[name] = {}
            else:
                sample = _SAMPLE.validate_python(document)
                samples[name][sample.number] = sample
        except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
            if place == len(texts) and not text.endswith("\n"):
                break
            raise LabError(f"line {place} is no sample", remedy="Measure again: the file is damaged") from error
    return tuple(replace(one, samples=gapless(samples[name])) for name, one in recordings.items())


def gapless(samples: dict[int, Sample]) -> tuple[Sample, ...]:
    """The samples from number 1 to the last one before a number that is missing."""
    found: list[Sample] = []
    while len(found) + 1 in samples:
        found.append(samples[len(found) + 1])
    return tuple(found)
