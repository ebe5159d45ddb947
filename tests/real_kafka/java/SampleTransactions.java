import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What Kafka's own clients do with a cluster, for tests that know what must come of it.
 *
 * <pre>
 * transact BOOTSTRAP TOPIC PARTITIONS ID GROUP   commits c-0..9, aborts a-0..9, commits d-0..9 with an offset
 * send BOOTSTRAP TOPIC PARTITIONS COUNT          idempotent, without transactions: s-0..COUNT
 * read BOOTSTRAP TOPIC PARTITIONS ISOLATION      lines of partition, offset, value; up to the end
 * offset BOOTSTRAP TOPIC GROUP                   the group's offset of partition 0; commits 43 afterwards
 * </pre>
 */
public final class SampleTransactions {
    private SampleTransactions() {}

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "transact" -> transact(a[1], a[2], Integer.parseInt(a[3]), a[4], a[5]);
            case "send" -> {
                try (KafkaProducer<String, String> producer = new KafkaProducer<>(producer(a[1]))) {
                    send(producer, a[2], Integer.parseInt(a[3]), "s", Integer.parseInt(a[4]));
                }
            }
            case "read" -> read(a[1], a[2], Integer.parseInt(a[3]), a[4]);
            case "offset" -> offset(a[1], a[2], a[3]);
            default -> throw new IllegalArgumentException(a[0]);
        }
    }

    private static Map<String, Object> producer(String bootstrap) {
        return new java.util.HashMap<>(Map.of(
                "bootstrap.servers", bootstrap,
                "key.serializer", StringSerializer.class,
                "value.serializer", StringSerializer.class,
                "max.block.ms", 30_000));
    }

    private static KafkaConsumer<String, String> consumer(String bootstrap, String isolation, String group) {
        return new KafkaConsumer<>(Map.of(
                "bootstrap.servers", bootstrap,
                "key.deserializer", StringDeserializer.class,
                "value.deserializer", StringDeserializer.class,
                "isolation.level", isolation,
                "fetch.max.wait.ms", 100,
                "enable.auto.commit", false,
                "group.id", group));
    }

    private static void send(KafkaProducer<String, String> producer, String topic, int partitions, String name, int count)
            throws Exception {
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            sent.add(producer.send(new ProducerRecord<>(topic, i % partitions, null, name + "-" + i)));
            if (i % 5 == 4) {
                // Several requests, so that there is something to go wrong in the middle.
                producer.flush();
            }
        }
        producer.flush();
        for (java.util.concurrent.Future<?> one : sent) {
            one.get();
        }
    }

    private static void transact(String bootstrap, String topic, int partitions, String id, String group)
            throws Exception {
        Map<String, Object> config = producer(bootstrap);
        config.put("transactional.id", id);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(config)) {
            producer.initTransactions();
            for (String name : List.of("c", "a", "d")) {
                producer.beginTransaction();
                send(producer, topic, partitions, name, 10);
                if (name.equals("a")) {
                    producer.abortTransaction();
                    continue;
                }
                if (name.equals("d")) {
                    Map<TopicPartition, OffsetAndMetadata> offsets =
                            Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(42));
                    producer.sendOffsetsToTransaction(offsets, new ConsumerGroupMetadata(group));
                }
                producer.commitTransaction();
            }
        }
    }

    private static void read(String bootstrap, String topic, int partitions, String isolation) {
        try (KafkaConsumer<String, String> consumer = consumer(bootstrap, isolation, "reader")) {
            List<TopicPartition> all = new ArrayList<>();
            for (int p = 0; p < partitions; p++) {
                all.add(new TopicPartition(topic, p));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all, Duration.ofSeconds(30));
            while (ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println(r.partition() + " " + r.offset() + " " + r.value());
                }
            }
        }
    }

    private static void offset(String bootstrap, String topic, String group) {
        try (KafkaConsumer<String, String> consumer = consumer(bootstrap, "read_committed", group)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            Set<TopicPartition> one = new HashSet<>(List.of(partition));
            consumer.assign(one);
            System.out.println(consumer.committed(one, Duration.ofSeconds(30)).get(partition).offset());
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(43)), Duration.ofSeconds(30));
        }
    }
}
