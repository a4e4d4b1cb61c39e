"""What `lab.traffic` refuses before it looks for a lab."""

from __future__ import annotations

import pytest

from lab.core.errors import LabError
from lab.workflows.options import Options
from lab.workflows.traffic import traffic


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": "lunch"}, "no profile lunch"),
        ({"scale": "half"}, "--scale half is not a number"),
        ({"scale": "0"}, "cannot be scaled by 0"),
        ({"scale": "nan"}, "cannot be scaled by nan"),
        ({"seconds": "soon"}, "--seconds soon is not a number"),
        ({"seconds": "0.5"}, "cannot be sent for 0.5 s"),
        ({"seconds": "inf"}, "cannot be sent for inf s"),
    ],
)
def test_options_that_cannot_be_meant_are_bad_input(given: dict[str, str], message: str) -> None:
    with pytest.raises(LabError, match=message) as caught:
        traffic(Options(), **given)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
