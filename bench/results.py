# SPDX-License-Identifier: Apache-2.0
"""From many noisy measurements to medians, spreads and ratios."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from runner import Record

MARKED_SPREAD = 0.20
# A measurement in which the thread had less of its processor says more about its neighbours.
UNDISTURBED = 0.95
# Distances of the same kind differ by less than that; another kind is three times as far.
SAME_DISTANCE = 1.5
FEWEST = 2


@dataclass(frozen=True)
class Measurement:
    """One number, and under what circumstances it came about."""

    value: float
    undisturbed: bool
    near: bool
    """Whether the two processors were as near to each other as they ever were."""


@dataclass
class Series:
    """What was measured of one case with one library, round by round."""

    by_round: dict[int, Measurement] = field(default_factory=dict)

    def rounds(self) -> dict[int, Measurement]:
        """The rounds that say most about the library: the best kind of which there are enough."""
        undisturbed = {r: m for r, m in self.by_round.items() if m.undisturbed}
        for kept in ({r: m for r, m in undisturbed.items() if m.near}, undisturbed):
            if len(kept) >= FEWEST:
                return kept
        return self.by_round

    @property
    def disturbed(self) -> bool:
        """Whether rounds had to be kept in which a thread had too little of its processor."""
        return not all(measurement.undisturbed for measurement in self.rounds().values())

    def values(self) -> list[float]:
        """The numbers of these rounds."""
        return [measurement.value for measurement in self.rounds().values()]

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values())

    @property
    def spread(self) -> float:
        """The distance between the quartiles, relative to the median."""
        return spread(self.values())

    def ratio_to(self, other: "Series") -> float | None:
        """Median of the ratios round by round: what both had to suffer cancels out.

        None if there is no round in which both had their processors, equally far apart.
        """
        mine, theirs = self.by_round, other.by_round
        pairs = [(mine[r], theirs[r]) for r in mine.keys() & theirs.keys()]
        alike = [(a, b) for a, b in pairs if a.near == b.near and a.undisturbed and b.undisturbed]
        near = [(a, b) for a, b in alike if a.near]
        ratios = [a.value / b.value for a, b in near or alike if b.value > 0]
        return statistics.median(ratios) if ratios else None


def spread(values: Sequence[float]) -> float:
    """The distance between the quartiles, relative to the median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle if middle else 0.0


class Results:
    """Series by case and by what was measured: a library and interface, or the bare limit."""

    def __init__(self, records: Iterable[Record], key: Sequence[str], value: str) -> None:
        """`key` names the members that tell cases apart, `value` the one that counts."""
        self._series: dict[tuple, dict[str, Series]] = defaultdict(dict)
        all_records = list(records)
        self.distances = [record["distance"] for record in all_records if "distance" in record]
        self.nearest = min(self.distances, default=0.0)
        for record in all_records:
            case = tuple(record.get(name) for name in key)
            series = self._series[case].setdefault(record["subject"], Series())
            series.by_round[record["round"]] = Measurement(
                record[value],
                record.get("share", 1.0) >= UNDISTURBED,
                self._is_near(record.get("distance", self.nearest)),
            )

    def near_share(self) -> float:
        """Of the measurements between two processors, how many found them near."""
        near = [distance for distance in self.distances if self._is_near(distance)]
        return len(near) / len(self.distances) if self.distances else 1.0

    def _is_near(self, distance: float) -> bool:
        return distance <= self.nearest * SAME_DISTANCE

    def cases(self) -> list[tuple]:
        """All cases, in the order in which they were measured."""
        return list(self._series)

    def subjects(self) -> list[str]:
        """All subjects, in the order in which they were measured."""
        seen: dict[str, None] = {}
        for by_subject in self._series.values():
            seen.update(dict.fromkeys(by_subject))
        return list(seen)

    def get(self, case: tuple, subject: str) -> Series | None:
        """One series, or None where nothing was measured."""
        return self._series.get(case, {}).get(subject)

    def ratio(self, case: tuple, subject: str, base: str) -> float | None:
        """Of the subject to the base in one case."""
        mine, theirs = self.get(case, subject), self.base(case, base)
        return mine.ratio_to(theirs) if mine and theirs else None

    def base(self, case: tuple, base: str) -> Series | None:
        """What a case is compared with: the base does not tell all cases apart."""
        for known in self._series:
            alike = all(theirs in (mine, None) for mine, theirs in zip(case, known, strict=True))
            if alike and base in self._series[known]:
                return self._series[known][base]
        return None


def summarise(results: Results, key: Sequence[str], base: str | None) -> list[dict]:
    """For the JSON file: one object for each case and subject."""
    summaries = []
    for case in results.cases():
        for subject in results.subjects():
            series = results.get(case, subject)
            if series is None:
                continue
            values = series.values()
            summary = dict(zip(key, case, strict=True)) | {
                "subject": subject,
                "median": series.median,
                "spread": round(series.spread, 3),
                "disturbed": series.disturbed,
                "lowest": min(values),
                "highest": max(values),
                "rounds": len(values),
                "left out": len(series.by_round) - len(values),
            }
            if base is not None:
                summary[f"ratio to {base}"] = results.ratio(case, subject, base)
            summaries.append(summary)
    return summaries
