"""Runs arms in turn and keeps every run as one row."""

import json
import subprocess
import sys
from dataclasses import dataclass, field

from .payloads import payload_file
from .sink import MockSink, RealKafka

TIMEOUT = 600
RECORD_OVERHEAD = 8
"""What a record without a key takes in a batch beside its value, at least, in bytes."""


@dataclass
class Row:
    """One run of one arm on one case: a line of the CSV."""

    case: str
    arm: str
    run: int
    records: int = 0
    seconds: float = 0.0
    user: float = 0.0
    system: float = 0.0
    sink_cpu: float = 0.0
    max_rss_kib: int = 0
    switches: int = 0
    arrived: int = 0
    sent_bytes: int = 0
    batches: int = 0
    requests: int = 0
    p50_us: float | None = None
    p99_us: float | None = None
    p999_us: float | None = None
    max_us: float | None = None
    error: str = ""

    @property
    def rate(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_per_million(self) -> float:
        return (self.user + self.system) / self.records * 1e6

    @property
    def mebibytes(self) -> float:
        return self.max_rss_kib / 1024


@dataclass
class Plan:
    cases: list
    arms: list
    runs: int
    seconds: float
    verify: bool
    payload_directory: object
    wrapper: list = field(default_factory=list)
    """Put before each arm's command: `taskset -c 0`, `perf stat`."""


def measure(plan: Plan) -> list[Row]:
    rows = []
    kafka = None
    try:
        for case in plan.cases:
            if case.real and plan.verify:
                continue
            if case.real and kafka is None:
                print("starting a real Kafka", file=sys.stderr)
                kafka = RealKafka()
            rows += _measure_case(plan, case, kafka)
    finally:
        if kafka:
            kafka.close()
    return rows


def _measure_case(plan: Plan, case, kafka) -> list[Row]:
    arms = [arm for arm in plan.arms if case.fits(arm)]
    print(f"\n{case.name}: {case.title}", file=sys.stderr)
    rows, counts = [], {}
    for arm in arms:
        pilot = _run(plan, case, arm, kafka, run=0, records=_pilot_records(case), show=False)
        if pilot.error:
            print(f"  {arm.name:16} FAILED: {pilot.error}", file=sys.stderr)
            rows.append(pilot)
        else:
            counts[arm.name] = _records_for(pilot, plan)
    if plan.verify:
        return rows + [_run(plan, case, arm, kafka, 1, _pilot_records(case) * 5) for arm in arms if arm.name in counts]
    for run in range(1, plan.runs + 1):
        # Each round starts with another arm, so that none is always first or always behind the same neighbour.
        shift = (run - 1) % max(len(arms), 1)
        for arm in arms[shift:] + arms[:shift]:
            if arm.name in counts:
                rows.append(_run(plan, case, arm, kafka, run, counts[arm.name]))
    return rows


def _pilot_records(case) -> int:
    if case.sync:
        return 200
    if getattr(case, "pace", None):
        return case.pace // 10
    return max(10_000, min(200_000, (32 << 20) // case.size)) if case.compression == "none" else 50_000


def _records_for(pilot: Row, plan: Plan) -> int:
    """As many records as the arm sends in the time planned, by what it did at first."""
    return max(int(pilot.rate * plan.seconds), 100)


def _run(plan: Plan, case, arm, kafka, run: int, records: int, show: bool = True) -> Row:
    row = Row(case.name, arm.name, run, records)
    # A quarter more before the clock starts: connections, metadata, buffers and the JIT are warm then.
    warmup = max(records // 4, 20)
    sink = kafka.topic_for(case) if case.real else MockSink(case, plan.verify)
    try:
        command = [*plan.wrapper, *arm.command(), "--bootstrap", sink.bootstrap, "--topic", sink.topic,
                   "--records", str(records), "--warmup", str(warmup),
                   "--payload-file", str(payload_file(plan.payload_directory, case.size)), *case.options()]
        cpu = sink.cpu_seconds()
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        # The warm-up is in it: the sink does not know when the arm's clock starts.
        row.sink_cpu = (sink.cpu_seconds() - cpu) * records / (records + warmup)
        _note(row, result)
        # What the codec makes goes nowhere: it counts that itself.
        if result.returncode == 0 and not arm.is_codec:
            _count_arrived(row, sink.arrived(), records + warmup)
        _check_codec(row, case)
    except (subprocess.TimeoutExpired, OSError, ValueError, RuntimeError, subprocess.CalledProcessError) as error:
        row.error = str(error)[:300]
    finally:
        sink.close()
    if show:
        _show(row)
    return row


def _note(row: Row, result) -> None:
    if result.returncode != 0:
        last = (result.stderr.strip() or "no message").splitlines()[-3:]
        row.error = f"exit {result.returncode}: {' / '.join(last)}"[:300]
        return
    line = result.stdout.strip().splitlines()[-1]
    for name, value in json.loads(line).items():
        if name == "errors":
            if value:
                row.error = f"{value} errors: {result.stderr.strip()[-200:]}"
        else:
            setattr(row, name, value)


def _count_arrived(row: Row, arrived: dict, expected: int) -> None:
    share = row.records / expected
    row.arrived = arrived["records"]
    row.sent_bytes = int(arrived.get("produce_bytes", 0) * share)
    row.batches = int(arrived.get("batches", 0) * share)
    row.requests = int(arrived.get("produce_requests", 0) * share)
    if row.arrived != expected and not row.error:
        row.error = f"{expected} records were sent and {row.arrived} arrived"
    if arrived.get("refused_batches") and not row.error:
        row.error = f"{arrived['refused_batches']} batches were refused"


def _check_codec(row: Row, case) -> None:
    """A client that sends its batches as they are, because it thinks that the broker lacks the codec, does less work."""
    whole = row.records * (case.size + RECORD_OVERHEAD)
    if case.compression != "none" and not row.error and row.sent_bytes > whole * 0.99:
        row.error = f"{row.sent_bytes / whole * 100:.0f} % of the bytes arrived: nothing was compressed"


def _show(row: Row) -> None:
    if row.error:
        print(f"  {row.arm:16} FAILED: {row.error}", file=sys.stderr)
        return
    text = f"{row.rate:12,.0f} records/s {row.cpu_per_million:8.3f} CPU s/M {row.mebibytes:7.0f} MiB"
    if row.p50_us is not None:
        text = f"p50 {row.p50_us:8.1f} us  p99 {row.p99_us:8.1f} us  p99.9 {row.p999_us:8.1f} us"
    print(f"  {row.arm:16} {text}", file=sys.stderr)
