"""The formats of measurements: k6, Locust, Kafka's performance tools, Prometheus. Each reader says which version's output it reads.

What they measure is what a client sees: a time between two instants, not the work of a server. It becomes the law of the component that takes most
of it in a test under light load; a test near saturation measures queues as well, and calibrates too high.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from simfabric.errors import Refusal, shown
from simfabric.planning.calibrating.findings import Finding, duration_s, law_of, numbers
from simfabric.units import write_rate, write_size

MOST_ROWS = 100_000
K6_KEYS = {
    "http_req_tls_handshaking": ("balancer.handshake", True),
    "ws_connecting": ("gateways.work.handshake", True),
    "http_req_connecting": ("clients.delay", False),
    "http_req_waiting": ("storage.work", True),
}  # Metric of k6 -> key, and whether the time is the key's own (else a round trip of which half is one way).
PROMETHEUS_KEYS = (
    (r"tls_?handshake", "balancer.handshake"),
    (r"websocket_?(accept|handshake|connect)|ws_connecting", "gateways.work.handshake"),
    (r"publish_?ack|storage|commit|persist|insert", "storage.work"),
    (r"replica|request_latency|produce", "bus.replica_delay"),
)


def k6(text: str) -> Iterator[Finding]:
    """The end-of-test summary of k6: --summary-export (v0.30 to v1: {"metrics": {name: {"med": ms}}}) or handleSummary's data, with "values"."""
    metrics = _mapping(_json(text), "metrics", "give the file of k6 run --summary-export=summary.json")
    for name, (key, own) in K6_KEYS.items():
        metric = metrics.get(name)
        if not isinstance(metric, dict):
            continue
        values = metric["values"] if isinstance(metric.get("values"), dict) else metric
        part = 1.0 if own else 0.5
        quantiles = {
            q: part * duration_s(values[field], f"metrics.{name}.{field}", 1000.0)
            for q, field in ((0.5, "med"), (0.95, "p(95)"), (0.99, "p(99)"))
            if field in values
        }
        if quantiles and max(quantiles.values()) > 0.0:
            yield Finding(
                key, law_of(quantiles), f"metrics.{name}: {', '.join(f for f in ('med', 'p(95)', 'p(99)') if f in values)}{'' if own else ', half of it'}"
            )


def locust(text: str) -> Iterator[Finding]:
    """The _stats.csv that Locust 1 and 2 write with --csv: a row per request with columns Type, Name, 50%, 95%, 99% … [ms]; the names tell the key."""
    rows = list(csv.DictReader(io.StringIO(text)))[:MOST_ROWS]
    if not rows or not {"Type", "Name", "50%", "99%"} <= set(rows[0]):
        raise Refusal("must be Locust's statistics, with the columns Type, Name, 50% and 99%", "give the file that ends in _stats.csv")
    told = {
        "connect": "gateways.work.handshake",
        "tls": "balancer.handshake",
        "publish": "storage.work",
        "bootstrap": "apis.bootstrap.work",
        "token": "apis.token.work",
    }
    for row in rows:
        name = f"{row['Type'] or ''} {row['Name'] or ''}".lower()
        keys = [key for word, key in told.items() if word in name]
        cells = numbers({k: v for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}, ("50%", "95%", "99%"))
        if keys and cells:
            quantiles = {float(cell.rstrip("%")) / 100: duration_s(value, cell, 1000.0) for cell, value in cells.items()}
            yield Finding(keys[0], law_of(quantiles), f"row {shown(name.strip(), 60)}: {', '.join(cells)}")


PRODUCER = re.compile(
    r"(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, ([\d.]+) ms max latency"
    r"(?:, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th)?"
)


def kafka(text: str) -> Iterator[Finding]:
    """What kafka-producer-perf-test (Kafka 1 to 4; the last line, with 50th … 99.9th) or kafka-consumer-perf-test (2 to 4; CSV with MB.sec) prints."""
    found = [match for match in PRODUCER.finditer(text[-LAST:]) if match.group(6)]
    if found:
        whole = found[-1]
        quantiles = {q: duration_s(whole.group(place), "latency", 1000.0) for q, place in ((0.5, 6), (0.95, 7), (0.99, 8), (0.999, 9))}
        yield Finding("bus.replica_delay", law_of(quantiles), "the line of totals: 50th, 99th latency (from send to acknowledgement, linger included)")
        rate, megabytes = float(whole.group(2)), float(whole.group(3))
        if rate > 0.0 and megabytes > 0.0:
            yield Finding("traffic[0].size", write_size(max(1, round(megabytes * 2**20 / rate))), "the line of totals: MB/sec by records/sec")
        return
    lines = [line.strip() for line in text.splitlines()[:MOST_ROWS] if line.count(",") >= 5]
    head = [cell.strip() for cell in lines[0].split(",")] if lines else []
    if len(lines) < 2 or not {"data.consumed.in.MB", "data.consumed.in.nMsg"} <= set(head):
        raise Refusal("must be what kafka-producer-perf-test or kafka-consumer-perf-test prints", "give its whole output, with the line of totals")
    cells = numbers(dict(zip(head, (cell.strip() for cell in lines[-1].split(",")))), ("data.consumed.in.MB", "data.consumed.in.nMsg"))
    megabytes, messages = cells.get("data.consumed.in.MB", 0.0), cells.get("data.consumed.in.nMsg", 0.0)
    if not messages > 0.0 or not 0.0 < megabytes <= messages * 16:
        raise Refusal("the last row must have messages and megabytes", "give the output of a test that consumed something", value=shown(lines[-1]))
    yield Finding("traffic[0].size", write_size(max(1, round(megabytes * 2**20 / messages))), "last row: data.consumed.in.MB by data.consumed.in.nMsg")


LAST = 2**20  # [characters] of a producer test's output in which its totals stand.


def prometheus(text: str) -> Iterator[Finding]:
    """A range query's answer (HTTP API v1, /api/v1/query_range): quantiles of durations [s] by the labels quantile or le, rates per second.

    A series is a law if its labels have `quantile`, else its metric must end in _seconds; the mean over the range is what counts. A series whose
    name ends in _per_second or _rate and speaks of publishing gives the publications of all together.
    """
    answer = _json(text)
    data = _mapping(answer, "data", "give the answer of /api/v1/query_range")
    series = data.get("result")
    if data.get("resultType") != "matrix" or not isinstance(series, list):
        raise Refusal("must be a range query's answer: data.resultType matrix", "ask /api/v1/query_range, not /api/v1/query")
    laws: dict[str, dict[float, float]] = {}
    fields: dict[str, str] = {}
    for place, one in enumerate(series[:MOST_ROWS]):
        labels = one.get("metric") if isinstance(one, dict) else None
        if not isinstance(labels, dict):
            raise Refusal("a series has its labels under metric", "give the answer as Prometheus sent it", value=f"data.result[{place}]")
        name = " ".join(str(labels.get(label, "")) for label in ("__name__", "job", "stage"))
        mean = _mean(one.get("values"), f"data.result[{place}].values")
        if mean is None:
            continue
        key = next((key for pattern, key in PROMETHEUS_KEYS if re.search(pattern, name[:400], re.IGNORECASE)), None)
        if re.search(r"publish\w*(_per_second|:rate\w*|_rate)\b", name[:400]):
            yield Finding(
                "traffic[0].rate", write_rate(float(f"{mean:.4g}")), f"data.result[{place}] {shown(name.strip(), 60)}, mean of its values, of all together"
            )
        elif key is not None:
            q = numbers({"quantile": str(labels.get("quantile", "0.5"))}, ("quantile",)).get("quantile", 0.5)
            laws.setdefault(key, {})[q] = duration_s(mean, f"data.result[{place}]")
            fields[key] = f"data.result[{place}] {shown(name.strip(), 60)}, mean of its values"
    for key, quantiles in laws.items():
        yield Finding(key, law_of(quantiles), f"{fields[key]}; quantiles {', '.join(f'{q:g}' for q in sorted(quantiles))}")


def _mean(values: Any, field: str) -> float | None:
    """The mean of a range's samples; NaN, which Prometheus says where it knows nothing, left out."""
    if not isinstance(values, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in values[:MOST_ROWS]):
        raise Refusal("values are pairs of a time and a text", "give the answer as Prometheus sent it", value=field)
    known = list(numbers({str(i): str(pair[1]) for i, pair in enumerate(values[:MOST_ROWS])}, [str(i) for i in range(min(len(values), MOST_ROWS))]).values())
    return math.fsum(known) / len(known) if known else None


def _json(text: str) -> Any:
    """A JSON text; raises Refusal for what is none, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise Refusal("must be nested less deeply", "give the file as the tool wrote it") from None
    except ValueError as error:
        raise Refusal(f"must be JSON: {shown(str(error))}", "give the file as the tool wrote it") from None


def _mapping(value: Any, key: str, cure: str) -> dict[str, Any]:
    inner = value.get(key) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        raise Refusal(f"must be an object with {key}", cure)
    return inner


READERS = {"k6": k6, "locust": locust, "kafka": kafka, "prometheus": prometheus}
