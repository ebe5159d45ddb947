import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Java's producer committing one transaction after the other, for comparison in the same run. */
final class Transactions {
    private static final int WARM_UP = 200;

    private Transactions() {}

    /** Commits {@code count} transactions of {@code records} records of 100 bytes; returns what they took, in ns. */
    static long run(String bootstrap, String topic, int count, int records) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("transactional.id", "java-rate");
        p.put("linger.ms", "0");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p)) {
            producer.initTransactions();
            for (int i = 0; i < WARM_UP; i++) {
                one(producer, topic, records);
            }
            long began = System.nanoTime();
            for (int i = 0; i < count; i++) {
                one(producer, topic, records);
            }
            return System.nanoTime() - began;
        }
    }

    private static void one(KafkaProducer<byte[], byte[]> producer, String topic, int records) {
        producer.beginTransaction();
        for (int i = 0; i < records; i++) {
            producer.send(new ProducerRecord<>(topic, i % 3, null, new byte[100]));
        }
        producer.commitTransaction();
    }
}
