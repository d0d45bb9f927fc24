"""What /metrics says, to calculate with.

Knows: Prometheus' text format, counters, histograms. Does not know: which metrics there are, who answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

PREFIX: Final = "voxtral_voice_"
Labels = tuple[tuple[str, str], ...]


class Scrape:
    """Names are without the server's prefix; those of the process as they are. Raises ValueError for what is no such
    text."""

    def __init__(self, text: str) -> None:
        self._samples: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        try:
            samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        except (ValueError, LookupError) as error:
            raise ValueError("this is no text of metrics") from error
        for sample in samples:
            labels = tuple(sorted(sample.labels.items()))
            self._samples[sample.name.removeprefix(PREFIX)][labels] = float(sample.value)

    def has(self, name: str) -> bool:
        return name in self._samples

    def value(self, name: str, **labels: str) -> float:
        """Of all series that have these labels; 0 for what was never counted."""
        wanted = labels.items()
        return sum(number for found, number in self._of(name).items() if wanted <= dict(found).items())

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same for each value of a label, by name."""
        values = {dict(found)[label] for found in self._of(name) if label in dict(found)}
        return {value: self.value(name, **{label: value}, **labels) for value in sorted(values)}

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """Of a histogram: (upper edge, how many were no more than that)."""
        edges = self.by(f"{name}_bucket", "le", **labels)
        return sorted((float(edge), count) for edge, count in edges.items())

    def since(self, earlier: Scrape) -> Scrape:
        """What was counted meanwhile; of a server that was started again meanwhile, all that it has counted."""
        later = Scrape("")
        for name, samples in self._samples.items():
            before = earlier._of(name)
            later._samples[name] = {
                labels: number - before.get(labels, 0.0) if number >= before.get(labels, 0.0) else number
                for labels, number in samples.items()
            }
        return later

    def _of(self, name: str) -> dict[Labels, float]:
        return self._samples.get(name, {})


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """As Prometheus' histogram_quantile has it: inside a bucket all lie evenly; above the last edge, the last edge.
    None: nothing was counted."""
    if not buckets or not buckets[-1][1]:
        return None
    rank = share * buckets[-1][1]
    for (low, before), (high, count) in pairwise([(0.0, 0.0), *buckets]):
        if count >= rank and count > before:
            return low if high == float("inf") else low + (high - low) * (rank - before) / (count - before)
    return None
