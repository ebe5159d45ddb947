import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

/**
 * What the tests ask of Kafka's own Java clients, in one long-lived process: a JVM start for each question would cost
 * a second.
 *
 * <p>A request is a line of words separated by spaces. The answer is lines that begin with {@code =}, then one line,
 * {@code ok} or {@code error MESSAGE}. {@code read} and {@code more} answer with records in binary instead; see {@link RecordReader}.
 * The process ends when its stdin does.
 */
public final class Helper {
    private final DataOutputStream out;
    private final InputStream in;
    private final TopicAdmin admin;
    private final String bootstrap;
    private final RecordReader follower;

    private Helper(String bootstrap, InputStream in, DataOutputStream out) {
        this.bootstrap = bootstrap;
        this.in = in;
        this.out = out;
        this.admin = new TopicAdmin(bootstrap, this::line);
        this.follower = new RecordReader(bootstrap, out, false);
    }

    public static void main(String[] args) throws Exception {
        // Answers go to the real stdout; whatever else prints must not mix with them.
        DataOutputStream out = new DataOutputStream(
            new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16));
        System.setOut(System.err);
        InputStream in = new BufferedInputStream(System.in, 1 << 16);
        Helper helper = new Helper(args[0], in, out);
        String request;
        while ((request = helper.readLine()) != null) {
            helper.answer(request);
        }
        Runtime.getRuntime().halt(0);
    }

    private void answer(String request) throws IOException {
        try {
            run(request.split(" "));
            out.writeBytes("ok\n");
        } catch (Exception e) {
            Throwable cause = e instanceof java.util.concurrent.ExecutionException ? e.getCause() : e;
            String message = (cause.getClass().getSimpleName() + ": " + cause.getMessage()).replace('\n', ' ');
            out.write(("error " + message + "\n").getBytes(StandardCharsets.UTF_8));
            e.printStackTrace();
        }
        out.flush();
    }

    private void run(String[] words) throws Exception {
        switch (words[0]) {
            case "place" -> place(Integer.parseInt(words[1]), Integer.parseInt(words[2]));
            case "read" -> new RecordReader(bootstrap, out, false).read(words[1]);
            case "read-committed" -> new RecordReader(bootstrap, out, true).read(words[1]);
            case "more" -> follower.more(words[1]);
            case "transactions" -> line(Long.toString(transactions(words, true)));
            case "no-transactions" -> line(Long.toString(transactions(words, false)));
            case "serialize" -> line(PlugIns.serialize(words[1], words.length > 2 ? words[2] : ""));
            case "crc32" -> line(Long.toString(PlugIns.crc32(words.length > 1 ? words[1] : "")));
            case "round-robin" -> PlugIns.roundRobin(Integer.parseInt(words[1]), Integer.parseInt(words[2]))
                .forEach(place -> line(place.toString()));
            case "produce" -> SampleProducer.produce(bootstrap, words[1], Integer.parseInt(words[2]), words[3]);
            default -> admin.run(words[0], Arrays.copyOfRange(words, 1, words.length));
        }
    }

    /** {@code TOPIC COUNT RECORDS SIZE WARM_UP LINGER} */
    private long transactions(String[] words, boolean transactional) {
        int count = Integer.parseInt(words[2]);
        int records = Integer.parseInt(words[3]);
        int size = Integer.parseInt(words[4]);
        return new Transactions(words[1], records, size, transactional)
            .run(bootstrap, Integer.parseInt(words[5]), count, words[6]);
    }

    /** Where Java's producer would put each of {@code count} keys, which follow as lines of hex. */
    private void place(int partitions, int count) throws IOException {
        byte[][] keys = new byte[count][];
        for (int i = 0; i < count; i++) {
            keys[i] = HexFormat.of().parseHex(readLine());
        }
        for (byte[] key : keys) {
            line(Integer.toString(BuiltInPartitioner.partitionForKey(key, partitions)));
        }
    }

    private void line(String text) {
        try {
            out.write(("= " + text + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private String readLine() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int b = in.read(); b != '\n'; b = in.read()) {
            if (b < 0) {
                return null;
            }
            line.write(b);
        }
        return line.toString(StandardCharsets.UTF_8);
    }
}
