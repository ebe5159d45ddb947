import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client. One callback object counts the outcomes of all records; payloads and keys are arrays made before. */
public final class Arm {
    private static final Map<String, String> OPTIONS = new HashMap<>();
    private static final AtomicLong FAILED = new AtomicLong();
    private static final Callback COUNT = (metadata, error) -> {
        if (error != null && FAILED.incrementAndGet() == 1) {
            System.err.println("java: " + error);
        }
    };

    private static byte[][] values;
    private static byte[][] keys;
    private static String topic;
    private static KafkaProducer<byte[], byte[]> producer;

    private static int number(String name, int otherwise) {
        String text = OPTIONS.get(name);
        return text == null ? otherwise : Integer.parseInt(text);
    }

    public static void main(String[] args) throws Exception {
        for (int n = 0; n + 1 < args.length; n += 2) {
            OPTIONS.put(args[n].substring(2), args[n + 1]);
        }
        load();
        topic = OPTIONS.getOrDefault("topic", "bench");
        int records = number("records", 1_000_000);
        int warmup = number("warmup", 0);
        producer = new KafkaProducer<>(properties(), new ByteArraySerializer(), new ByteArraySerializer());
        if ("sync".equals(OPTIONS.get("mode"))) {
            for (int n = 0; n < warmup; n++) {
                sendAndWait(n);
            }
            long[] latencies = new long[records];
            Usage from = new Usage();
            for (int n = 0; n < records; n++) {
                long at = System.nanoTime();
                sendAndWait(n);
                latencies[n] = System.nanoTime() - at;
            }
            from.report(records, latencies);
        } else {
            sendShares(warmup);
            Usage from = new Usage();
            sendShares(records);
            from.report(records, null);
        }
        producer.close();
    }

    private static void load() throws Exception {
        int size = number("size", 100);
        byte[] all = Files.readAllBytes(Path.of(OPTIONS.get("payload-file")));
        values = new byte[all.length / size][];
        for (int n = 0; n < values.length; n++) {
            values[n] = Arrays.copyOfRange(all, n * size, (n + 1) * size);
        }
        keys = new byte[number("keys", 0)][];
        for (int n = 0; n < keys.length; n++) {
            keys[n] = String.format(Locale.ROOT, "user-%06d", n).getBytes(StandardCharsets.US_ASCII);
        }
    }

    private static Properties properties() {
        Properties p = new Properties();
        p.put("bootstrap.servers", OPTIONS.getOrDefault("bootstrap", "127.0.0.1:9092"));
        p.put("acks", OPTIONS.getOrDefault("acks", "all"));
        p.put("enable.idempotence", OPTIONS.getOrDefault("idempotence", "true"));
        String codec = OPTIONS.getOrDefault("compression", "none");
        p.put("compression.type", codec);
        Map<String, String> names = Map.of(
                "linger-ms", "linger.ms",
                "batch-size", "batch.size",
                "buffer-memory", "buffer.memory",
                "level", "compression." + codec + ".level");
        names.forEach((ours, theirs) -> {
            if (OPTIONS.containsKey(ours)) {
                p.put(theirs, OPTIONS.get(ours));
            }
        });
        return p;
    }

    private static ProducerRecord<byte[], byte[]> record(int n) {
        byte[] key = keys.length == 0 ? null : keys[(int) (n * 2_654_435_761L % keys.length)];
        return new ProducerRecord<>(topic, key, values[n % values.length]);
    }

    private static void sendShares(int total) throws InterruptedException {
        int threads = number("threads", 1);
        if (threads == 1) {
            send(0, total);
        } else {
            Thread[] all = new Thread[threads];
            for (int t = 0; t < threads; t++) {
                int from = (int) ((long) total * t / threads);
                int to = (int) ((long) total * (t + 1) / threads);
                all[t] = new Thread(() -> send(from, to), "app-" + t);
                all[t].start();
            }
            for (Thread thread : all) {
                thread.join();
            }
        }
        producer.flush();
    }

    private static void send(int from, int to) {
        for (int n = from; n < to; n++) {
            producer.send(record(n), COUNT);
        }
    }

    private static void sendAndWait(int n) throws InterruptedException {
        try {
            producer.send(record(n)).get();
        } catch (java.util.concurrent.ExecutionException e) {
            FAILED.incrementAndGet();
        }
    }

    /** The clock and the CPU time of the process, the JIT's and the collector's threads too. */
    private static final class Usage {
        private final double user;
        private final double system;
        private final long switches;
        private final long at;

        Usage() throws Exception {
            String stat = Files.readString(Path.of("/proc/self/stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            user = Double.parseDouble(fields[11]) / 100;
            system = Double.parseDouble(fields[12]) / 100;
            long sum = 0;
            for (String task : new java.io.File("/proc/self/task").list()) {
                try {
                    sum += field(Path.of("/proc/self/task", task, "status"), "voluntary_ctxt_switches:");
                } catch (java.io.IOException gone) {
                    // A thread that has ended meanwhile.
                }
            }
            switches = sum;
            at = System.nanoTime();
        }

        private static long field(Path path, String name) throws java.io.IOException {
            List<String> lines = Files.readAllLines(path);
            for (String line : lines) {
                if (line.startsWith(name)) {
                    return Long.parseLong(line.substring(name.length()).trim().split(" ")[0]);
                }
            }
            return 0;
        }

        void report(int records, long[] latencies) throws Exception {
            double seconds = (System.nanoTime() - at) / 1e9;
            Usage to = new Usage();
            StringBuilder line = new StringBuilder(String.format(Locale.ROOT,
                    "{\"records\":%d,\"seconds\":%.6f,\"user\":%.2f,\"system\":%.2f,\"max_rss_kib\":%d,"
                            + "\"switches\":%d,\"errors\":%d",
                    records, seconds, to.user - user, to.system - system,
                    field(Path.of("/proc/self/status"), "VmHWM:"), Math.max(to.switches - switches, 0), FAILED.get()));
            if (latencies != null && latencies.length > 0) {
                Arrays.sort(latencies);
                String[] names = {"p50_us", "p99_us", "p999_us", "max_us"};
                double[] parts = {0.5, 0.99, 0.999, 1};
                for (int n = 0; n < parts.length; n++) {
                    int at = Math.min((int) (latencies.length * parts[n]), latencies.length - 1);
                    line.append(String.format(Locale.ROOT, ",\"%s\":%.1f", names[n], latencies[at] / 1e3));
                }
            }
            System.out.println(line.append('}'));
        }
    }
}
