"""What is measured: one `Case` for each line of the table."""

from dataclasses import dataclass

MEBI = 1 << 20


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    group: str
    size: int
    batch: int | None = None
    """Bytes of a batch; None leaves batch, linger and memory at each client's own default."""
    linger: int | None = None
    buffer: int | None = None
    compression: str = "none"
    brokers: int = 1
    partitions: int = 6
    keys: int | None = None
    threads: int = 1
    sync: bool = False
    real: bool = False
    only: tuple[str, ...] = ()
    """The arms to run, when not all."""

    def options(self) -> list[str]:
        """The part of an arm's command line that the case decides."""
        pairs = [
            ("--size", self.size),
            ("--keys", self.keys),
            ("--linger-ms", self.linger),
            ("--batch-size", self.batch),
            ("--buffer-memory", self.buffer),
            ("--acks", "all"),
            ("--idempotence", "true"),
            ("--compression", self.compression),
            ("--threads", self.threads),
            ("--mode", "sync" if self.sync else "throughput"),
        ]
        return [str(item) for pair in pairs if pair[1] is not None for item in pair]

    def fits(self, arm) -> bool:
        if self.only and arm.name not in self.only:
            return False
        if arm.is_codec:
            return self.compression != "none" and not self.sync
        # One socket and one thread are what the floor is.
        return not (arm.is_floor and (self.brokers > 1 or self.threads > 1))


SIZES = [(10, "10 B"), (100, "100 B"), (1024, "1 KiB"), (10240, "10 KiB")]
# 64 MiB hold five requests in flight and a batch being filled for each of six partitions.
LARGE = dict(batch=1_000_000, linger=5, buffer=64 * MEBI)
OURS = ("ours", "ours-callback", "ours-get")


def _cases() -> list[Case]:
    cases = []
    for size, label in SIZES:
        cases.append(Case(f"{size}b-1mb", f"{label}, 1 MB batches", "1 MB batches", size, **LARGE))
    for size, label in SIZES:
        cases.append(Case(f"{size}b-defaults", f"{label}, defaults", "Everyone's own defaults", size))
    keyed = dict(keys=10_000, partitions=100, brokers=3)
    title = "100 B keyed, 100 partitions, 3 brokers"
    cases.append(Case("100b-keyed-defaults", f"{title}, defaults", "Keyed", 100, **keyed))
    # A request's worth for each of 100 partitions must fit the memory.
    wide = dict(LARGE, buffer=256 * MEBI)
    cases.append(Case("100b-keyed-1mb", f"{title}, 1 MB batches", "Keyed", 100, **wide, **keyed))
    for codec in ("lz4", "snappy", "gzip", "zstd"):
        for kind, settings in (("1mb", LARGE), ("defaults", {})):
            label = "1 MB batches" if settings else "defaults"
            cases.append(Case(f"100b-{codec}-{kind}", f"100 B {codec}, {label}", "Compressed", 100,
                              compression=codec, **settings))
    cases.append(Case("1024b-lz4-1mb", "1 KiB lz4, 1 MB batches", "Compressed", 1024, compression="lz4", **LARGE))
    cases.append(Case("1024b-lz4-defaults", "1 KiB lz4, defaults", "Compressed", 1024, compression="lz4"))
    cases.append(Case("100b-sync-linger0", "100 B, each waited for, linger 0", "Latency", 100, linger=0, sync=True))
    cases.append(Case("100b-sync-default", "100 B, each waited for, default linger", "Latency", 100, sync=True))
    cases.append(Case("100b-8threads-1mb", "100 B, 8 threads, 1 MB batches", "Threads", 100, threads=8, only=OURS,
                      **LARGE))
    cases.append(Case("100b-8threads-defaults", "100 B, 8 threads, defaults", "Threads", 100, threads=8, only=OURS))
    for size, label in SIZES[1:3]:
        cases.append(Case(f"{size}b-kafka", f"{label}, 1 MB batches, a real Kafka", "A real Kafka", size, real=True,
                          **LARGE))
    return cases


CASES = _cases()
