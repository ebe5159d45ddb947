import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.zip.CRC32;
import org.apache.kafka.clients.producer.RoundRobinPartitioner;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;

/** What Java's own serializers and partitioners make of a value. */
final class PlugIns {
    private PlugIns() {}

    /** The bytes that Kafka's serializer for {@code type} writes for a value given as text, as hex; "null" for none. */
    static String serialize(String type, String hexOfText) throws Exception {
        String text = new String(HexFormat.of().parseHex(hexOfText), StandardCharsets.UTF_8);
        byte[] bytes = serializer(type).serialize("topic", parse(type, text));
        return bytes == null ? "null" : "x" + HexFormat.of().formatHex(bytes);
    }

    @SuppressWarnings("unchecked")
    private static Serializer<Object> serializer(String type) throws Exception {
        Class<?> of = Class.forName("org.apache.kafka.common.serialization." + type + "Serializer");
        return (Serializer<Object>) of.getDeclaredConstructor().newInstance();
    }

    private static Object parse(String type, String text) {
        return switch (type) {
            case "Integer" -> Integer.valueOf(text);
            case "Long" -> Long.valueOf(text);
            case "Short" -> Short.valueOf(text);
            case "Float" -> Float.valueOf(text);
            case "Double" -> Double.valueOf(text);
            case "Boolean" -> Boolean.valueOf(text);
            case "UUID" -> UUID.fromString(text);
            case "String" -> text;
            case "ByteArray" -> text.getBytes(StandardCharsets.UTF_8);
            case "Bytes" -> Bytes.wrap(text.getBytes(StandardCharsets.UTF_8));
            case "ByteBuffer" -> ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
            case "Void" -> null;
            default -> throw new IllegalArgumentException(type);
        };
    }

    /** CRC-32 as the JDK has it. */
    static long crc32(String hex) {
        CRC32 crc = new CRC32();
        crc.update(HexFormat.of().parseHex(hex));
        return crc.getValue();
    }

    /** Where Java's RoundRobinPartitioner puts {@code count} records, asked once for each. */
    static List<Integer> roundRobin(int partitions, int count) {
        Node[] nodes = {new Node(1, "localhost", 9092)};
        List<PartitionInfo> infos = new ArrayList<>();
        for (int p = 0; p < partitions; p++) {
            infos.add(new PartitionInfo("topic", p, nodes[0], nodes, nodes));
        }
        Cluster cluster = new Cluster("id", List.of(nodes), infos, Set.of(), Set.of());
        List<Integer> places = new ArrayList<>();
        try (RoundRobinPartitioner partitioner = new RoundRobinPartitioner()) {
            for (int i = 0; i < count; i++) {
                places.add(partitioner.partition("topic", null, null, null, null, cluster));
            }
        }
        return places;
    }
}
