"""What was found in a database against what the plan's inventory says of it, in sentences without a value."""

from collections.abc import Mapping
from typing import Any

from checks.tools import leaks, personal, pseudonyms, sampling
from checks.tools.inventory import Category, PrivacySection


def leak_sentences(proof: leaks.Proof, what: str) -> list[str]:
    """A sentence for each place of ``what`` in which masked values were found."""
    return [
        f"{leak['values']:,} value(s) of {leak['table']}.{leak['column']} stand in clear in"
        f" {leak['found_table']}.{leak['found_column']} of {what}."
        for leak in proof.leaks
    ]


def compare(found: sampling.Audit, section: PrivacySection) -> Mapping[str, Any]:
    """What was found against what is declared: problems, unclassified, classified, missing, misfits, personal."""
    entries = section.by_column()
    known = {column.key: column for column in found.columns}
    unclassified = [_row(finding) for finding in found.findings if finding.column.key not in entries]
    problems = [
        f"{row['column']} looks like personal data ({row['reasons'][0]}) and is not classified." for row in unclassified
    ]
    problems += [
        f"{known[key].label} could not be looked into ({reason}) and is not classified."
        for key, reason in found.unread.items()
        if key not in entries
    ]
    missing = [
        ".".join(key[1:] if key[0] == "public" else key)
        for key, entry in entries.items() if key not in known and not entry.may_be_missing
    ]  # fmt: skip
    problems += [f"The inventory names {name}, which does not exist." for name in missing]
    there = {key: entry for key, entry in entries.items() if key in known}
    misfits = [said for key, entry in there.items() if (said := pseudonyms.misfit(known[key], entry))]
    problems += misfits
    seen = {finding.column.key: finding for finding in found.findings}
    classified = [
        {
            "column": known[key].label,
            "category": entry.category.value,
            "basis": entry.basis.value if entry.basis else "",
            "retention": entry.retention,
            "mask": entry.mask,
            "why": entry.why,
            "shape": seen[key].shape if key in seen else "",
        }
        for key, entry in there.items()
    ]
    personal = sum(row["category"] != Category.NOT_PERSONAL.value for row in classified)
    return {
        "problems": problems, "unclassified": unclassified, "classified": classified, "missing": missing,
        "misfits": misfits, "personal": personal,
    }  # fmt: skip


def _row(finding: personal.Finding) -> dict[str, Any]:
    return {
        "column": finding.column.label,
        "type": finding.column.type,
        "category": finding.category.value,
        "reasons": finding.reasons,
        "shape": finding.shape,
    }
