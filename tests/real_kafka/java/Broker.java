import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * One real Kafka node: formats its storage on the first start, then runs {@code kafka.Kafka}.
 *
 * <p>It halts when its stdin ends, so no broker outlives the test process, however that process ends.
 *
 * <p>Arguments: server.properties, the cluster id, the data directory.
 */
public final class Broker {
    public static void main(String[] args) throws Exception {
        haltWhenParentIsGone();
        String properties = args[0];
        if (!Files.exists(Path.of(args[2], "meta.properties"))) {
            String[] format = {"format", "-t", args[1], "-c", properties};
            int code = kafka.tools.StorageTool.execute(format, new PrintStream(System.out, true));
            if (code != 0) {
                System.exit(code);
            }
        }
        kafka.Kafka.main(new String[] {properties});
    }

    private static void haltWhenParentIsGone() {
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                    // Nothing is ever written; only the end counts.
                }
            } catch (java.io.IOException ignored) {
                // As good as the end.
            }
            Runtime.getRuntime().halt(0);
        }, "parent-watch");
        watch.setDaemon(true);
        watch.start();
    }
}
