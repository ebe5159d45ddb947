#!/usr/bin/env bash
# A real Apache Kafka, one node, on 127.0.0.1:9092, until Ctrl-C. Needs a JDK (17 or later) and Maven.
#
#   tests/real_kafka/start.sh [VERSION]      4.3.0 unless told; 3.9.1 is tested as well
#
# KAFKA_PORT changes the port (the next one is the controller's). Topics are created when first used, with one partition,
# and nothing is kept: each start begins with empty logs.
set -euo pipefail

version=${1:-4.3.0}
port=${KAFKA_PORT:-9092}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${CARGO_TARGET_DIR:-$root/target}/real-kafka/start-$port

for tool in java mvn; do
    command -v "$tool" >/dev/null || { echo "start.sh: $tool not found; install a JDK (17 or later) and Maven" >&2; exit 1; }
done
if (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; then
    echo "start.sh: something listens on 127.0.0.1:$port already; set KAFKA_PORT" >&2
    exit 1
fi

rm -rf "$work"
mkdir -p "$work"
echo "fetching Kafka $version (the first time takes a while)" >&2
mvn -B -q -f "$here/pom.xml" "-Dkafka.version=$version" \
    dependency:build-classpath "-Dmdep.outputFile=$work/classpath.txt" >&2
classpath=$(cat "$work/classpath.txt")

cat >"$work/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$work/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
EOF

java -cp "$classpath" kafka.tools.StorageTool format \
    -t 4L6g3nShT-eMCtK--X86sw -c "$work/server.properties" >"$work/format.log" 2>&1 ||
    { cat "$work/format.log" >&2; exit 1; }

java -Xmx700m -cp "$classpath" kafka.Kafka "$work/server.properties" >"$work/node.log" 2>&1 &
node=$!
# Ctrl-C reaches the node too, which then ends in order; a plain kill of this script must not leave it behind.
trap 'kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM

for _ in $(seq 600); do
    if (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && grep -q 'Kafka Server started' "$work/node.log"; then
        echo "Kafka $version is ready, bootstrap.servers: 127.0.0.1:$port   (log: $work/node.log; Ctrl-C ends it)"
        wait "$node"
        exit
    fi
    if ! kill -0 "$node" 2>/dev/null; then
        tail -n 20 "$work/node.log" >&2
        exit 1
    fi
    sleep 0.1
done
echo "start.sh: not ready within a minute; see $work/node.log" >&2
exit 1
