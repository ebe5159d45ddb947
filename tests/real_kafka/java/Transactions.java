import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Java's producer committing one transaction after the other, for comparison in the same run. */
final class Transactions {
    private final String topic;
    private final int records;
    private final byte[] value;
    private final boolean transactional;

    /** Transactions of {@code records} records of {@code size} bytes, or as many records without transactions. */
    Transactions(String topic, int records, int size, boolean transactional) {
        this.topic = topic;
        this.records = records;
        this.value = new byte[size];
        this.transactional = transactional;
    }

    /** Commits {@code count} of them after {@code warmUp} others; returns what they took, in ns. */
    long run(String bootstrap, int warmUp, int count, String linger) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("linger.ms", linger);
        if (transactional) {
            p.put("transactional.id", "java-rate");
        }
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p)) {
            if (transactional) {
                producer.initTransactions();
            }
            several(producer, warmUp);
            long began = System.nanoTime();
            several(producer, count);
            return System.nanoTime() - began;
        }
    }

    private void several(KafkaProducer<byte[], byte[]> producer, int count) {
        for (int i = 0; i < count; i++) {
            if (transactional) {
                producer.beginTransaction();
            }
            for (int n = 0; n < records; n++) {
                producer.send(new ProducerRecord<>(topic, n % 3, null, value));
            }
            if (transactional) {
                producer.commitTransaction();
            }
        }
        producer.flush();
    }
}
