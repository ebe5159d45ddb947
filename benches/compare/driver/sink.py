"""Where records go: the discarding mock cluster or a real Kafka, each in a process of its own, and what arrived there."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from .arms import ADMIN, ROOT, SINK, TARGET

TOPIC = "bench"


class MockSink:
    """A fresh cluster for one run."""

    def __init__(self, case, verify: bool):
        command = [str(SINK), "--discard", "--brokers", str(case.brokers), "--topic", f"{TOPIC}:{case.partitions}",
                   "--no-auto-create", "--stats-port", "0", "--until-stdin-closes"]
        if verify:
            command.append("--verify")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.bootstrap = self._line("bootstrap.servers=")
        host, port = self._line("stats=").rsplit(":", 1)
        self.stats_at = (host, int(port))
        self.topic = TOPIC

    def _line(self, prefix: str) -> str:
        line = self.process.stdout.readline().strip()
        if not line.startswith(prefix):
            raise RuntimeError(f"the sink said {line!r} instead of {prefix}...")
        return line.removeprefix(prefix)

    def arrived(self) -> dict:
        with socket.create_connection(self.stats_at) as connection:
            return json.loads(connection.makefile().readline())

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


class RealKafka:
    """One broker for all runs; a fresh topic for each."""

    def __init__(self):
        self.port = 19092
        environment = dict(os.environ, KAFKA_PORT=str(self.port), CARGO_TARGET_DIR=str(TARGET))
        self.process = subprocess.Popen([str(ROOT / "tests" / "real_kafka" / "start.sh")], stdout=subprocess.PIPE,
                                        text=True, env=environment, start_new_session=True)
        self.bootstrap = f"127.0.0.1:{self.port}"
        for line in self.process.stdout:
            if "is ready" in line:
                break
        else:
            raise RuntimeError("the real Kafka did not start")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.pid = self._broker()
        self.runs = 0

    def _broker(self) -> int:
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return int(children.stdout.split()[0])

    def topic_for(self, case) -> "RealTopic":
        self.runs += 1
        return RealTopic(self, f"{TOPIC}-{self.runs}", case.partitions)

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=60)
        shutil.rmtree(TARGET / "real-kafka" / f"start-{self.port}", ignore_errors=True)


class RealTopic:
    def __init__(self, kafka: RealKafka, topic: str, partitions: int):
        self.kafka, self.topic, self.bootstrap = kafka, topic, kafka.bootstrap
        self._admin("create", topic, str(partitions))

    def _admin(self, *args: str) -> str:
        command = [str(ADMIN), self.bootstrap, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def arrived(self) -> dict:
        return {"records": int(self._admin("count", self.topic))}

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.kafka.pid)

    def close(self) -> None:
        self._admin("delete", self.topic)
        # The broker is busy for a moment with what it was told to forget.
        time.sleep(1)


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
