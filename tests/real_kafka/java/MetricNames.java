import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What Java's producer measures while it sends: a line for each metric, with group, name, keys of its tags and value. */
public final class MetricNames {
    private MetricNames() {}

    /** BOOTSTRAP TOPIC COUNT: that many records of 100 bytes to partition 0, one after the other. */
    public static void main(String[] args) throws ExecutionException, InterruptedException {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("linger.ms", "0");
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p)) {
            for (int i = 0; i < Integer.parseInt(args[2]); i++) {
                producer.send(new ProducerRecord<>(args[1], 0, null, new byte[100])).get();
            }
            for (Map.Entry<MetricName, ? extends Metric> each : producer.metrics().entrySet()) {
                MetricName name = each.getKey();
                String tags = String.join(",", new TreeSet<>(name.tags().keySet()));
                Object value = each.getValue().metricValue();
                System.out.println(name.group() + "\t" + name.name() + "\t" + tags + "\t" + value);
            }
        }
    }
}
