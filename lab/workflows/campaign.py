"""A campaign of faults: drills one after the other that follow from a seed, each from a healthy lab."""

from __future__ import annotations

from lab.core.drills.catalogue import FAULT_PREFIX, Order, planned
from lab.core.drills.record import DrillRecord, as_document
from lab.core.errors import LabError
from lab.core.faults.campaign import campaign as row
from lab.core.outcome import Outcome
from lab.workflows.data_audit import data_audits_or_why_not, documents, told
from lab.workflows.drill import outcome_of, perform
from lab.workflows.opening import opened
from lab.workflows.options import Options, load_lab


def campaign(options: Options, seed: int, count: int, quick: bool = False) -> Outcome:
    """Carry out the campaign of a seed; it ends early when a drill does not leave a healthy lab.

    At its end the data is compared and checked (:mod:`lab.workflows.data_audit`).

    Raises:
        LabError: no such number of faults (exit code 2); the lab is not healthy, or a drill did not come true.
    """
    lab = load_lab(options)
    orders = row(lab, seed, count, quick=quick)
    again = f"./inv lab.drill campaign --seed {seed} --count {count}{' --quick' if quick else ''}"
    lines = [f"Campaign of seed {seed}: {count} faults{', quick ones' if quick else ''}; `{again}` does it again."]
    records: list[DrillRecord] = []
    with opened(options, "campaign") as (session, hypervisor):
        for place, one in enumerate(orders, start=1):
            (plan,) = planned(session.lab, Order(f"{FAULT_PREFIX}{one.name}", one.node, one.guest, 1, seed))
            session.reporter.note(f"{place} of {count}: {plan.drill.name} on {plan.target}, seed {seed}")
            try:
                records.append(perform(session, hypervisor, plan))
            except LabError as error:
                done = f"fault {place} of {count}, {one.name}, ended the campaign of seed {seed}"
                raise LabError(
                    error.message, remedy=error.remedy, details=(*error.details, done, f"again: {again}")
                ) from error
        data = data_audits_or_why_not(session)
    for place, record in enumerate(records, start=1):
        verdict = "passed" if record.ok else "FAILED"
        lines.append(f"  {place:3}  {record.drill:<28} {record.guest or record.node:<12} {verdict}")
    whole = outcome_of(session.folder, records)
    ok = whole.ok and all(one.ok for one in data)
    lines += ["Data at the end", *told(data)]
    return Outcome(
        "\n".join([*lines, "", whole.text]),
        {
            "ok": ok,
            "seed": seed,
            "count": count,
            "quick": quick,
            "again": again,
            "data": documents(data),
            "drills": [as_document(record) for record in records],
        },
        ok=ok,
    )
