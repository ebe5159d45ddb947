import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Java's own producer: so that the harness can be tested against records that another client wrote, and as a foreign
 * client of the embedded cluster (tests/foreign_clients).
 */
public final class SampleProducer {
    private SampleProducer() {}

    /** BOOTSTRAP COUNT TOPIC,CODEC,ACKS,true|false|transaction... */
    public static void main(String[] args) throws ExecutionException, InterruptedException {
        for (int n = 2; n < args.length; n++) {
            String[] job = args[n].split(",");
            Properties p = new Properties();
            p.put("acks", job[2]);
            p.put("enable.idempotence", job[3].equals("false") ? "false" : "true");
            p.put("max.in.flight.requests.per.connection", job[3].equals("false") ? "1" : "5");
            if (job[3].equals("transaction")) {
                p.put("transactional.id", job[0]);
            }
            p.put("linger.ms", "20");
            produce(p, args[0], job[0], Integer.parseInt(args[1]), job[1]);
        }
    }

    /** Records 0..count: value "v-i", key "k-i" except each third (null), a header "n" = null on each fifth. */
    static void produce(String bootstrap, String topic, int count, String codec)
        throws ExecutionException, InterruptedException {
        Properties p = new Properties();
        p.put("linger.ms", "5");
        produce(p, bootstrap, topic, count, codec);
    }

    private static void produce(Properties p, String bootstrap, String topic, int count, String codec)
        throws ExecutionException, InterruptedException {
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("compression.type", codec);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p)) {
            boolean transactional = p.containsKey("transactional.id");
            if (transactional) {
                producer.initTransactions();
                // What nobody is to see.
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, "aborted".getBytes(StandardCharsets.UTF_8))).get();
                producer.abortTransaction();
                producer.beginTransaction();
            }
            List<Future<?>> sent = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                if (transactional && i == count / 2) {
                    producer.commitTransaction();
                    producer.beginTransaction();
                }
                byte[] key = i % 3 == 0 ? null : ("k-" + i).getBytes(StandardCharsets.UTF_8);
                byte[] value = ("v-" + i).getBytes(StandardCharsets.UTF_8);
                ProducerRecord<byte[], byte[]> record =
                    new ProducerRecord<>(topic, null, 1_700_000_000_000L + i, key, value);
                if (i % 5 == 0) {
                    record.headers().add("n", null);
                }
                sent.add(producer.send(record));
            }
            for (Future<?> future : sent) {
                future.get();
            }
            if (transactional) {
                producer.commitTransaction();
            }
        }
    }
}
