/* What librdkafka does with a cluster, for tests that know what must come of it. Values are NAME-0, NAME-1 and so on,
 * value i in partition i modulo PARTITIONS:
 *   transact BOOTSTRAP TOPIC PARTITIONS ID GROUP   commits c-0..9, aborts a-0..9, commits d-0..9 with offset 42
 *   send BOOTSTRAP TOPIC PARTITIONS COUNT          idempotent, without transactions: s-0..COUNT
 *   read BOOTSTRAP TOPIC PARTITIONS ISOLATION      lines of partition, offset, value; up to the end
 *   offset BOOTSTRAP TOPIC GROUP                   the group's offset of partition 0
 *   cc -o transactions transactions.c -lrdkafka */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 60000

static void fail(const char *what, const char *why) {
    fprintf(stderr, "librdkafka: %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, rd_kafka_resp_err_t code) {
    if (code)
        fail(what, rd_kafka_err2str(code));
}

/* Transaction calls: what may be tried again is. */
static int again(const char *what, rd_kafka_error_t *error) {
    if (!error)
        return 0;
    int retriable = rd_kafka_error_is_retriable(error);
    if (!retriable)
        fail(what, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return retriable;
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, key, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        fail(key, error);
}

/* Of a transaction that is aborted, records may fail. */
static int forgiving = 0;

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    if (!forgiving)
        check("delivery", message->err);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *bootstrap) {
    char error[512];
    set(conf, "bootstrap.servers", bootstrap);
    rd_kafka_t *rk = rd_kafka_new(type, conf, error, sizeof error);
    if (!rk)
        fail("new", error);
    return rk;
}

static rd_kafka_t *producer(const char *bootstrap, const char *id) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "enable.idempotence", "true");
    if (id)
        set(conf, "transactional.id", id);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    return client(RD_KAFKA_PRODUCER, conf, bootstrap);
}

static void send_all(rd_kafka_t *rk, const char *topic, int partitions, const char *name, int count) {
    for (int i = 0; i < count; i++) {
        char value[32];
        size_t size = (size_t)snprintf(value, sizeof value, "%s-%d", name, i);
        check("produce", rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i % partitions),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_VALUE(value, size), RD_KAFKA_V_END));
        /* Several requests, so that there is something to go wrong in the middle. */
        if (i % 5 == 4)
            check("flush", rd_kafka_flush(rk, PATIENCE_MS));
    }
}

static rd_kafka_topic_partition_list_t *places(const char *topic, int partitions, int64_t offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = offset;
    return list;
}

static void transact(const char *bootstrap, const char *topic, int partitions, const char *id, const char *group) {
    rd_kafka_t *rk = producer(bootstrap, id);
    while (again("init_transactions", rd_kafka_init_transactions(rk, PATIENCE_MS))) {
    }
    for (const char *name = "cad"; *name; name++) {
        char prefix[2] = {*name, 0};
        again("begin_transaction", rd_kafka_begin_transaction(rk));
        forgiving = *name == 'a';
        send_all(rk, topic, partitions, prefix, 10);
        if (*name == 'd') {
            rd_kafka_topic_partition_list_t *offsets = places(topic, 1, 42);
            rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata_new(group);
            while (again("send_offsets", rd_kafka_send_offsets_to_transaction(rk, offsets, metadata, PATIENCE_MS))) {
            }
            rd_kafka_consumer_group_metadata_destroy(metadata);
            rd_kafka_topic_partition_list_destroy(offsets);
        }
        while (*name == 'a' ? again("abort", rd_kafka_abort_transaction(rk, PATIENCE_MS))
                            : again("commit", rd_kafka_commit_transaction(rk, PATIENCE_MS))) {
        }
    }
    rd_kafka_destroy(rk);
}

static rd_kafka_t *consumer(const char *bootstrap, const char *isolation, const char *group) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "group.id", group);
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "isolation.level", isolation);
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf, bootstrap);
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

static void read_all(const char *bootstrap, const char *topic, int partitions, const char *isolation) {
    rd_kafka_t *rk = consumer(bootstrap, isolation, "reader");
    rd_kafka_topic_partition_list_t *from = places(topic, partitions, RD_KAFKA_OFFSET_BEGINNING);
    check("assign", rd_kafka_assign(rk, from));
    rd_kafka_topic_partition_list_destroy(from);
    for (int ended = 0; ended < partitions;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, PATIENCE_MS);
        if (!message)
            fail("read", "nothing comes");
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ended++;
        } else {
            check("read", message->err);
            printf("%d %lld %.*s\n", (int)message->partition, (long long)message->offset, (int)message->len,
                   (const char *)message->payload);
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

static void offset(const char *bootstrap, const char *topic, const char *group) {
    rd_kafka_t *rk = consumer(bootstrap, "read_committed", group);
    rd_kafka_topic_partition_list_t *one = places(topic, 1, RD_KAFKA_OFFSET_INVALID);
    check("committed", rd_kafka_committed(rk, one, PATIENCE_MS));
    printf("%lld\n", (long long)one->elems[0].offset);
    rd_kafka_topic_partition_list_destroy(one);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

int main(int argc, char **argv) {
    if (argc == 7 && !strcmp(argv[1], "transact"))
        transact(argv[2], argv[3], atoi(argv[4]), argv[5], argv[6]);
    else if (argc == 6 && !strcmp(argv[1], "send")) {
        rd_kafka_t *rk = producer(argv[2], NULL);
        send_all(rk, argv[3], atoi(argv[4]), "s", atoi(argv[5]));
        rd_kafka_destroy(rk);
    } else if (argc == 6 && !strcmp(argv[1], "read"))
        read_all(argv[2], argv[3], atoi(argv[4]), argv[5]);
    else if (argc == 5 && !strcmp(argv[1], "offset"))
        offset(argv[2], argv[3], argv[4]);
    else
        fail("usage", "see transactions.c");
    return 0;
}
