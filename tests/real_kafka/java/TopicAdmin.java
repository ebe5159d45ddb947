import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics and the state of the cluster, through Kafka's admin client. A call returns when its effect is visible. */
final class TopicAdmin {
    private static final long VISIBLE_WITHIN_MILLIS = 60_000;
    private final Consumer<String> line;
    private final Admin admin;

    private interface Check {
        boolean holds() throws Exception;
    }

    TopicAdmin(String bootstrap, Consumer<String> line) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("request.timeout.ms", "10000");
        p.put("default.api.timeout.ms", "60000");
        p.put("reconnect.backoff.max.ms", "200");
        this.line = line;
        this.admin = Admin.create(p);
    }

    void run(String command, String[] args) throws Exception {
        switch (command) {
            case "nodes" -> nodes();
            case "create" -> {
                create(args);
                until(() -> isComplete(args[0], Integer.parseInt(args[1]), Integer.parseInt(args[2])));
                untilLed(args[0]);
            }
            case "create-only" -> create(args);
            case "delete" -> delete(args[0]);
            case "grow" -> grow(args[0], Integer.parseInt(args[1]));
            case "config" -> config(args);
            case "forget" -> forget(args);
            case "describe" -> describe(args[0]);
            case "move" -> move(args[0], Integer.parseInt(args[1]), args[2]);
            case "elect" -> elect(args[0]);
            case "ends" -> ends(args[0], line);
            case "group-offsets" -> groupOffsets(args[0]);
            case "coordinator" -> coordinator(args[0]);
            case "feature" -> feature(args[0], Short.parseShort(args[1]));
            case "id" -> line.accept(topic(args[0]).topicId().toString());
            default -> throw new IllegalArgumentException("unknown request: " + command);
        }
    }

    /** The ids of the brokers that are up. */
    private void nodes() throws Exception {
        for (Node node : admin.describeCluster().nodes().get()) {
            line.accept(node.idString());
        }
    }

    /** create TOPIC PARTITIONS REPLICATION [key=value ...] */
    private void create(String[] args) throws Exception {
        int partitions = Integer.parseInt(args[1]);
        short replication = Short.parseShort(args[2]);
        Map<String, String> configs = new HashMap<>();
        for (int i = 3; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            configs.put(pair[0], pair[1]);
        }
        admin.createTopics(List.of(new NewTopic(args[0], partitions, replication).configs(configs))).all().get();
    }

    private void delete(String name) throws Exception {
        admin.deleteTopics(List.of(name)).all().get();
        until(() -> !admin.listTopics().names().get().contains(name));
    }

    private void grow(String name, int partitions) throws Exception {
        int replication = topic(name).partitions().get(0).replicas().size();
        admin.createPartitions(Map.of(name, NewPartitions.increaseTo(partitions))).all().get();
        until(() -> isComplete(name, partitions, replication));
        untilLed(name);
    }

    /** config TOPIC key=value ... */
    private void config(String[] args) throws Exception {
        List<AlterConfigOp> ops = new ArrayList<>();
        for (int i = 1; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            ops.add(new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET));
        }
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, args[0]);
        admin.incrementalAlterConfigs(Map.of(resource, ops)).all().get();
    }

    /** forget TOPIC OFFSET ...: what lies before these offsets, one for each partition, may be deleted. */
    private void forget(String[] args) throws Exception {
        Map<TopicPartition, RecordsToDelete> before = new HashMap<>();
        for (int i = 1; i < args.length; i++) {
            before.put(new TopicPartition(args[0], i - 1), RecordsToDelete.beforeOffset(Long.parseLong(args[i])));
        }
        admin.deleteRecords(before).all().get();
    }

    /** One line for each partition: number, leader (-1 for none), replicas, in-sync replicas. */
    private void describe(String name) throws Exception {
        for (TopicPartitionInfo p : topic(name).partitions()) {
            int leader = p.leader() == null ? -1 : p.leader().id();
            line.accept(p.partition() + " " + leader + " " + ids(p.replicas()) + " " + ids(p.isr()));
        }
    }

    /** move TOPIC PARTITION 2,3,1: gives the partition these replicas and makes the first of them its leader. */
    private void move(String name, int partition, String replicas) throws Exception {
        List<Integer> target =
            List.of(replicas.split(",")).stream().map(Integer::valueOf).collect(Collectors.toList());
        TopicPartition tp = new TopicPartition(name, partition);
        NewPartitionReassignment wanted = new NewPartitionReassignment(target);
        admin.alterPartitionReassignments(Map.of(tp, Optional.of(wanted))).all().get();
        until(() -> admin.listPartitionReassignments(Set.of(tp)).reassignments().get().isEmpty());
        elect(Set.of(tp));
        until(() -> leads(name, partition, target.get(0)));
    }

    private void elect(String name) throws Exception {
        Set<TopicPartition> all = topic(name).partitions().stream()
            .map(p -> new TopicPartition(name, p.partition())).collect(Collectors.toSet());
        elect(all);
    }

    /** Elects the preferred leaders; partitions that they lead already are no error. */
    private void elect(Set<TopicPartition> partitions) throws Exception {
        Map<TopicPartition, Optional<Throwable>> results =
            admin.electLeaders(ElectionType.PREFERRED, partitions).partitions().get();
        for (Map.Entry<TopicPartition, Optional<Throwable>> result : results.entrySet()) {
            Optional<Throwable> failure = result.getValue();
            if (failure.isPresent() && !(failure.get() instanceof ElectionNotNeededException)) {
                throw new IllegalStateException(result.getKey() + ": " + failure.get());
            }
        }
    }

    /**
     * One line for each partition: number, first offset, end offset. Succeeds only once each leader has taken up its
     * duty, which is later than the moment from which metadata names it.
     */
    private void ends(String name, Consumer<String> line) throws Exception {
        for (TopicPartitionInfo p : topic(name).partitions()) {
            TopicPartition tp = new TopicPartition(name, p.partition());
            long first = admin.listOffsets(Map.of(tp, OffsetSpec.earliest())).partitionResult(tp).get().offset();
            long end = admin.listOffsets(Map.of(tp, OffsetSpec.latest())).partitionResult(tp).get().offset();
            line.accept(p.partition() + " " + first + " " + end);
        }
    }

    /** One line for each partition that the group has an offset of: topic, partition, next offset to read. */
    private void groupOffsets(String group) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets =
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        offsets.forEach((tp, at) -> {
            if (at != null) {
                line.accept(tp.topic() + " " + tp.partition() + " " + at.offset());
            }
        });
    }

    /** The node that coordinates a transactional id in use, and the state of its transaction. */
    private void coordinator(String id) throws Exception {
        TransactionDescription found = admin.describeTransactions(List.of(id)).description(id).get();
        line.accept(found.coordinatorId() + " " + found.state());
    }

    /** Finalizes a lower or higher level of a feature, as kafka-features does; returns once a broker says so. */
    private void feature(String name, short level) throws Exception {
        short now = admin.describeFeatures().featureMetadata().get().finalizedFeatures().get(name).maxVersionLevel();
        FeatureUpdate.UpgradeType direction =
            level < now ? FeatureUpdate.UpgradeType.SAFE_DOWNGRADE : FeatureUpdate.UpgradeType.UPGRADE;
        admin.updateFeatures(Map.of(name, new FeatureUpdate(level, direction)), new UpdateFeaturesOptions()).all().get();
        until(() -> admin.describeFeatures().featureMetadata().get().finalizedFeatures().get(name)
            .maxVersionLevel() == level);
    }

    /** A leader that has not heard of its duty yet says that it does not know the partition. */
    private void untilLed(String name) throws Exception {
        until(() -> {
            ends(name, offsets -> { });
            return true;
        });
    }

    private boolean isComplete(String name, int partitions, int replication) throws Exception {
        List<TopicPartitionInfo> found = topic(name).partitions();
        return found.size() == partitions
            && found.stream().allMatch(p -> p.leader() != null && p.isr().size() == replication);
    }

    private boolean leads(String name, int partition, int node) throws Exception {
        Node leader = topic(name).partitions().get(partition).leader();
        return leader != null && leader.id() == node;
    }

    private TopicDescription topic(String name) throws Exception {
        return admin.describeTopics(Collections.singletonList(name)).allTopicNames().get().get(name);
    }

    /** Polls, because Kafka's admin API tells of a change before every broker has seen it. */
    private static void until(Check check) throws Exception {
        long deadline = System.nanoTime() + VISIBLE_WITHIN_MILLIS * 1_000_000;
        while (true) {
            try {
                if (check.holds()) {
                    return;
                }
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof UnknownTopicOrPartitionException)) {
                    throw e;
                }
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("not visible within a minute");
            }
            Thread.sleep(20);
        }
    }

    private static String ids(List<Node> nodes) {
        return nodes.isEmpty() ? "-" : nodes.stream().map(Node::idString).collect(Collectors.joining(","));
    }
}
