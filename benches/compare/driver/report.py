"""The Markdown table, the CSV and the charts, made from rows; also from those of an earlier run."""

import csv
import dataclasses
from pathlib import Path
from statistics import median

from .arms import ARMS
from .cases import CASES
from .charts import chart
from .measure import Row

BY_NAME = {arm.name: arm for arm in ARMS}


def write(directory: Path, rows: list[Row], facts: list[tuple[str, str]]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    _write_csv(directory / "comparison.csv", rows)
    cases = [case for case in CASES if any(row.case == case.name for row in rows)]
    good = {case.name: _by_arm(rows, case.name) for case in cases}
    images = _write_charts(directory, cases, good)
    text = _markdown(cases, good, [row for row in rows if row.error], facts, images)
    (directory / "comparison.md").write_text(text)


def _by_arm(rows: list[Row], case: str) -> dict[str, list[Row]]:
    """The rows of a case that count, by arm, in the arms' order. Run 0 only finds out how many records to send."""
    found = {}
    for arm in ARMS:
        mine = [r for r in rows if r.case == case and r.arm == arm.name and r.run > 0 and not r.error]
        if mine:
            found[arm.name] = mine
    return found


def _write_csv(path: Path, rows: list[Row]) -> None:
    names = [field.name for field in dataclasses.fields(Row)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            values = [getattr(row, name) for name in names]
            writer.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in values])


def read_csv(path: Path) -> list[Row]:
    rows = []
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            row = Row(line["case"], line["arm"], int(line["run"]))
            for field in dataclasses.fields(Row)[3:]:
                text = line.get(field.name) or ""
                if field.type in (int, "int"):
                    value = int(text or 0)
                elif field.type in (str, "str"):
                    value = text
                else:
                    value = float(text) if text else (None if field.default is None else 0.0)
                setattr(row, field.name, value)
            rows.append(row)
    return rows


def _count(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.0f} k" if value >= 10e3 else f"{value / 1e3:.1f} k"


def _middle(rows: list[Row], of) -> float:
    return median(of(row) for row in rows)


def _spread(rows: list[Row], of) -> tuple[float, float, float]:
    values = [of(row) for row in rows]
    return median(values), min(values), max(values)


def _best_other(arms: dict[str, list[Row]], of, least: bool) -> tuple[str, float] | None:
    """The arm to beat: another client, not a limit of the machine."""
    middles = [(name, _middle(rows, of)) for name, rows in arms.items() if BY_NAME[name].is_other]
    return (min if least else max)(middles, key=lambda item: item[1], default=None)


def _ratio(value: float, best: tuple[str, float] | None) -> str:
    return f"{value / best[1]:.2f}" if best and best[1] else ""


def _throughput_table(case, arms: dict[str, list[Row]]) -> list[str]:
    squeezed = case.compression != "none"
    rate, cpu, memory = (lambda r: r.rate), (lambda r: r.cpu_per_million), (lambda r: r.mebibytes)
    best_rate, best_cpu = _best_other(arms, rate, False), _best_other(arms, cpu, True)
    head = ["", "records/s", "least - most", "MB/s", "× best other", "CPU s per million", "user + system",
            "× best other", "peak MiB", "records per batch"]
    head += ["compressed to"] if squeezed else []
    lines = [_line(head), _line([":--"] + ["--:"] * (len(head) - 1))]
    for name, rows in arms.items():
        middle, low, high = _spread(rows, rate)
        used = _middle(rows, cpu)
        user = _middle(rows, lambda r: r.user / r.records * 1e6)
        system = _middle(rows, lambda r: r.system / r.records * 1e6)
        batch = _middle(rows, lambda r: r.records / r.batches if r.batches else 0)
        cells = [_name(name), _count(middle), f"{_count(low)} - {_count(high)}", f"{middle * case.size / 1e6:,.0f}",
                 _ratio(middle, best_rate), f"{used:.3f}", f"{user:.3f} + {system:.3f}", _ratio(used, best_cpu),
                 f"{_middle(rows, memory):,.0f}", f"{batch:,.0f}" if batch else ""]
        if squeezed:
            share = _middle(rows, lambda r: r.sent_bytes / (r.records * case.size))
            cells.append(f"{share * 100:.1f} %")
        lines.append(_line(cells))
    return lines


def _latency_table(arms: dict[str, list[Row]]) -> list[str]:
    p50, p99 = (lambda r: r.p50_us), (lambda r: r.p99_us)
    best50, best99 = _best_other(arms, p50, True), _best_other(arms, p99, True)
    head = ["", "p50 µs", "least - most", "× best other", "p99 µs", "least - most", "× best other", "p99.9 µs",
            "CPU µs per record"]
    lines = [_line(head), _line([":--"] + ["--:"] * (len(head) - 1))]
    for name, rows in arms.items():
        cells = [_name(name)]
        for of, best in ((p50, best50), (p99, best99)):
            middle, low, high = _spread(rows, of)
            cells += [f"{middle:,.1f}", f"{low:,.1f} - {high:,.1f}", _ratio(middle, best)]
        cells += [f"{_middle(rows, lambda r: r.p999_us):,.1f}", f"{_middle(rows, lambda r: r.cpu_per_million):.1f}"]
        lines.append(_line(cells))
    return lines


def _name(arm: str) -> str:
    return f"**{arm}**" if BY_NAME[arm].is_ours else f"*{arm}*" if BY_NAME[arm].is_limit else arm


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _part(arms: dict[str, list[Row]], limit: str) -> str:
    """How near to a limit of the machine this library comes, by rate."""
    if limit not in arms:
        return ""
    return _percent(_middle(arms["ours"], lambda r: r.rate) / _middle(arms[limit], lambda r: r.rate))


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _codec_shares(cases, good) -> list[str]:
    """What of this library's work under compression is the codec's: the rest is append, I/O and waiting."""
    head = ["", "the codec's CPU s per million", "ours", "share", "of the codec's rate"]
    lines = [_line(head), _line([":--"] + ["--:"] * (len(head) - 1))]
    for case in cases:
        arms = good[case.name]
        if "ours" in arms and "codec" in arms:
            codec, ours = (_middle(arms[name], lambda r: r.cpu_per_million) for name in ("codec", "ours"))
            lines.append(_line([case.title, f"{codec:.3f}", f"{ours:.3f}", _percent(codec / ours), _part(arms, "codec")]))
    return lines if len(lines) > 2 else []


def _overview(cases, good) -> list[str]:
    """One line for each case: this library against the best other client."""
    head = ["", "ours", "best other", "rate ×", "CPU ×", "of the floor", "of the codec"]
    lines = [_line(head), _line([":--"] + ["--:"] * (len(head) - 1))]
    for case in cases:
        arms = good[case.name]
        if case.sync or "ours" not in arms:
            continue
        ours = _middle(arms["ours"], lambda r: r.rate)
        used = _middle(arms["ours"], lambda r: r.cpu_per_million)
        best = _best_other(arms, lambda r: r.rate, False)
        least = _best_other(arms, lambda r: r.cpu_per_million, True)
        lines.append(_line([
            case.title, _count(ours), f"{_count(best[1])} ({best[0]})" if best else "", _ratio(ours, best),
            _ratio(used, least), _part(arms, "floor"), _part(arms, "codec"),
        ]))
    return lines


def _markdown(cases, good, failed: list[Row], facts, images: list[tuple[str, str]]) -> str:
    lines = ["# Producers side by side", "",
             "Made by `benches/compare/run`; its README says what each arm does and how equal work is kept. All runs are in",
             "[comparison.csv](comparison.csv). Figures are medians; `× best other` compares with the best of the other",
             "clients in that column, without floor and codec, which are no clients but limits of the machine. Peak memory is",
             "the whole process's, with up to 32 MiB of payloads.", ""]
    lines += [_line(["", ""]), _line([":--", ":--"])] + [_line([name, value]) for name, value in facts] + [""]
    if any(not case.sync for case in cases):
        lines += ["## In short", "", *_overview(cases, good), ""]
    lines += [f"![{title}]({name})" for name, title in images] + [""]
    shares = _codec_shares(cases, good)
    if shares:
        lines += ["## How much of it is the codec", "",
                  "`share` is codec / (codec + append + I/O) in CPU time: what the arm `codec` takes, by what this library takes.", "",
                  *shares, ""]
    group = None
    for case in cases:
        if case.group != group:
            group = case.group
            lines += [f"## {group}", ""]
        lines += [f"### {case.title}", "", f"`{case.name}`: `{' '.join(case.options())}`, {case.partitions} partitions, "
                  f"brokers: {case.brokers}", ""]
        lines += (_latency_table if case.sync else lambda arms, c=case: _throughput_table(c, arms))(good[case.name])
        lines.append("")
    if failed:
        lines += ["## What failed", ""]
        lines += [f"* `{row.case}`, {row.arm}, run {row.run}: {row.error}" for row in failed] + [""]
    return "\n".join(lines)


def _write_charts(directory: Path, cases, good) -> list[tuple[str, str]]:
    kinds = [
        ("comparison-rate.svg", "Records per second", "longer is better", lambda r: r.rate, _count, False),
        ("comparison-cpu.svg", "CPU seconds per million records", "shorter is better",
         lambda r: r.cpu_per_million, lambda v: f"{v:.2f}", False),
        ("comparison-memory.svg", "Peak memory", "shorter is better", lambda r: r.mebibytes,
         lambda v: f"{v:,.0f} MiB", False),
        ("comparison-p50.svg", "One record at a time: p50", "shorter is better", lambda r: r.p50_us,
         lambda v: f"{v:,.0f} µs", True),
        ("comparison-p99.svg", "One record at a time: p99", "shorter is better", lambda r: r.p99_us,
         lambda v: f"{v:,.0f} µs", True),
    ]
    written = []
    for name, title, note, of, label, sync in kinds:
        # The limits are many times faster than any client and would flatten their bars; the tables have them.
        panels = [(case.title, [(arm, *_spread(rows, of)) for arm, rows in good[case.name].items()
                                if sync or not BY_NAME[arm].is_limit])
                  for case in cases if case.sync == sync and good[case.name]]
        if panels:
            (directory / name).write_text(chart(title, f"{note}; median, least and most", panels, label))
            written.append((name, title))
    return written
