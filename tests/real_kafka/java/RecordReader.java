import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads everything a topic holds, from the first offset to the end as it is when the reading starts.
 *
 * <p>Each record becomes a frame: its length (i32), then partition (i32), offset (i64), timestamp (i64), timestamp type
 * (i8: 0 create, 1 append), key, value, number of headers (i32), and for each its name and value. Bytes are preceded by
 * their length (i32), -1 for null. A frame of length 0 ends them. {@link #more} goes on where it stopped. Binary and not digests, because a million records
 * take two seconds this way and the test can name the record that differs.
 */
final class RecordReader {
    private static final long STALLED_AFTER_MILLIS = 60_000;
    private final String bootstrap;
    private final DataOutputStream out;
    private final boolean committed;
    private KafkaConsumer<byte[], byte[]> follower;

    /** With {@code committed} records of aborted transactions are left out, and an open one stops the reading. */
    RecordReader(String bootstrap, DataOutputStream out, boolean committed) {
        this.bootstrap = bootstrap;
        this.out = out;
        this.committed = committed;
    }

    void read(String topic) throws IOException {
        try {
            drain(topic, ends(topic));
        } finally {
            out.writeInt(0);
        }
    }

    /** What came since the last time; half a second's worth, or nothing. The leaders may fall over meanwhile. */
    void more(String topic) throws IOException {
        try {
            if (follower == null) {
                follower = new KafkaConsumer<>(following());
                List<TopicPartition> partitions = partitions(follower, topic);
                follower.assign(partitions);
                follower.seekToBeginning(partitions);
            }
            long until = System.nanoTime() + 500_000_000;
            while (System.nanoTime() < until) {
                for (ConsumerRecord<byte[], byte[]> record : follower.poll(Duration.ofMillis(100))) {
                    write(record);
                }
            }
        } finally {
            out.writeInt(0);
        }
    }

    private Properties following() {
        Properties p = config(committed ? "read_committed" : "read_uncommitted");
        // A gap in the log is an error and nothing to jump over; a leader that froze is soon given up.
        p.put("auto.offset.reset", "none");
        p.put("request.timeout.ms", "5000");
        p.put("metadata.max.age.ms", "1000");
        p.put("reconnect.backoff.max.ms", "200");
        return p;
    }

    /** The ends of the log, and not of what is stable: a transaction left open must not look like an end. */
    private Map<TopicPartition, Long> ends(String topic) {
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config("read_uncommitted"))) {
            return consumer.endOffsets(partitions(consumer, topic), Duration.ofSeconds(30));
        }
    }

    private void drain(String topic, Map<TopicPartition, Long> ends) throws IOException {
        String isolation = committed ? "read_committed" : "read_uncommitted";
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config(isolation))) {
            List<TopicPartition> partitions = partitions(consumer, topic);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            drain(consumer, ends);
        }
    }

    private static List<TopicPartition> partitions(KafkaConsumer<byte[], byte[]> consumer, String topic) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (PartitionInfo info : consumer.partitionsFor(topic, Duration.ofSeconds(30))) {
            partitions.add(new TopicPartition(topic, info.partition()));
        }
        return partitions;
    }

    private void drain(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> ends) throws IOException {
        long progress = System.nanoTime();
        while (behind(consumer, ends)) {
            int count = 0;
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                if (record.offset() < ends.get(new TopicPartition(record.topic(), record.partition()))) {
                    write(record);
                }
                count++;
            }
            if (count > 0) {
                progress = System.nanoTime();
            } else if (System.nanoTime() - progress > STALLED_AFTER_MILLIS * 1_000_000) {
                throw new IllegalStateException("no records for 60 s, and the end offsets " + ends + " not reached");
            }
        }
    }

    private static boolean behind(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> ends) {
        return ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue());
    }

    private Properties config(String isolation) {
        Properties p = new Properties();
        p.put("isolation.level", isolation);
        p.put("bootstrap.servers", bootstrap);
        p.put("key.deserializer", ByteArrayDeserializer.class.getName());
        p.put("value.deserializer", ByteArrayDeserializer.class.getName());
        p.put("enable.auto.commit", "false");
        p.put("allow.auto.create.topics", "false");
        p.put("check.crcs", "true");
        p.put("max.poll.records", "10000");
        p.put("max.partition.fetch.bytes", "8388608");
        return p;
    }

    private void write(ConsumerRecord<byte[], byte[]> r) throws IOException {
        int length = 4 + 8 + 8 + 1 + size(r.key()) + size(r.value()) + 4;
        List<byte[]> names = new ArrayList<>();
        for (Header h : r.headers()) {
            byte[] name = h.key().getBytes(StandardCharsets.UTF_8);
            names.add(name);
            length += size(name) + size(h.value());
        }
        out.writeInt(length);
        out.writeInt(r.partition());
        out.writeLong(r.offset());
        out.writeLong(r.timestamp());
        out.writeByte(r.timestampType().id);
        bytes(r.key());
        bytes(r.value());
        out.writeInt(names.size());
        int i = 0;
        for (Header h : r.headers()) {
            bytes(names.get(i++));
            bytes(h.value());
        }
    }

    private static int size(byte[] bytes) {
        return 4 + (bytes == null ? 0 : bytes.length);
    }

    private void bytes(byte[] bytes) throws IOException {
        if (bytes == null) {
            out.writeInt(-1);
        } else {
            out.writeInt(bytes.length);
            out.write(bytes);
        }
    }
}
