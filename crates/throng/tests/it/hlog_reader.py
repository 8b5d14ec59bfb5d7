"""Reads a run's intervals.hlog with PyPI's `hdrhistogram`, which shares no line with throng, and prints what it finds:
{tag: {"count": …, "p50_us": …, …}}.

Usage: hlog_reader.py FILE.
"""

import json
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

PERCENTILES = {"p50_us": 50, "p90_us": 90, "p99_us": 99, "p999_us": 99.9, "p9999_us": 99.99}

new = lambda: HdrHistogram(1, 60_000_000, 3)
reader, sums = HistogramLogReader(sys.argv[1], new()), {}
while (interval := reader.get_next_interval_histogram()) is not None:
    sums.setdefault(interval.get_tag(), new()).add(interval)

found = {}
for tag, sum in sums.items():
    found[tag] = {name: sum.get_value_at_percentile(p) for name, p in PERCENTILES.items()}
    found[tag] |= {"count": sum.get_total_count(), "max_us": sum.get_max_value()}
print(json.dumps(found))
