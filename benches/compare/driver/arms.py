"""The programs that are compared: how each is built and called."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
TARGET = HERE / "target"
SINK = TARGET / "release" / "examples" / "mock_cluster"
ADMIN = TARGET / "release" / "admin"


@dataclass(frozen=True)
class Arm:
    name: str
    kind: str
    """`rust`, `go` or `java`."""
    binary: str = ""
    feature: str = ""
    extra: tuple[str, ...] = ()
    by_default: bool = True

    @property
    def is_ours(self) -> bool:
        return self.binary == "ours"

    @property
    def is_floor(self) -> bool:
        return self.binary == "floor"

    @property
    def is_codec(self) -> bool:
        return self.binary == "codec"

    @property
    def is_limit(self) -> bool:
        """No client, but what the machine can do."""
        return self.is_floor or self.is_codec

    @property
    def is_other(self) -> bool:
        return not (self.is_ours or self.is_limit)

    def command(self) -> list[str]:
        if self.kind == "go":
            return [str(TARGET / "arms" / "franz")]
        if self.kind == "java":
            jars = (TARGET / "arms" / "java" / "classpath.txt").read_text().strip()
            classpath = f"{TARGET / 'arms' / 'java'}{os.pathsep}{jars}"
            return ["java", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath, "Arm"]
        return [str(TARGET / "release" / self.binary), *self.extra]

    def build(self) -> None:
        if self.kind == "go":
            _run(["go", "build", "-o", str(TARGET / "arms" / "franz"), "."], HERE / "franz")
        elif self.kind == "java":
            out = TARGET / "arms" / "java"
            out.mkdir(parents=True, exist_ok=True)
            paths = out / "classpath.txt"
            if not paths.exists() or paths.stat().st_mtime < (HERE / "java" / "pom.xml").stat().st_mtime:
                _run(["mvn", "-B", "-q", "-f", "pom.xml", "dependency:build-classpath", f"-Dmdep.outputFile={paths}"],
                     HERE / "java")
            _run(["javac", "-cp", paths.read_text().strip(), "-d", str(out), "Arm.java"], HERE / "java")
        else:
            cargo_build(self.feature, self.binary)


ARMS = [
    Arm("ours", "rust", "ours", "ours"),
    Arm("ours-callback", "rust", "ours", "ours", ("--outcome", "callback")),
    Arm("ours-get", "rust", "ours", "ours", ("--outcome", "get"), by_default=False),
    Arm("librdkafka", "rust", "librdkafka", "librdkafka"),
    Arm("franz-go", "go"),
    Arm("confluent-kafka", "rust", "confluent", "confluent"),
    Arm("krafka", "rust", "krafka", "krafka"),
    Arm("java", "java"),
    Arm("floor", "rust", "floor", "ours"),
    Arm("codec", "rust", "codec", "ours"),
]


def cargo_build(feature: str, binary: str) -> None:
    """One program by itself: features of dependencies that several clients share must not add up."""
    _run(["cargo", "build", "--release", "--no-default-features", "--features", feature, "--bin", binary,
          "--target-dir", str(TARGET)], HERE)


def build_sink() -> None:
    _run(["cargo", "build", "--release", "--features", "zstd", "--example", "mock_cluster", "--target-dir",
          str(TARGET)], ROOT)
    cargo_build("ours", "admin")


def missing_tool(arm: Arm) -> str | None:
    tools = {"go": ["go"], "java": ["java", "javac", "mvn"], "rust": ["cargo"]}[arm.kind]
    return next((tool for tool in tools if shutil.which(tool) is None), None)


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(command, cwd=directory, check=True)
