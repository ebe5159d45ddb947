/* The records of tests/foreign_clients through librdkafka:
 *   producer BOOTSTRAP COUNT TOPIC,CODEC,ACKS,true|false|transaction...
 * PARTITIONER in the environment names one of librdkafka's partitioners.
 *   cc -o producer producer.c -lrdkafka */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *why) {
    fprintf(stderr, "librdkafka: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, key, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        fail(key, error);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    (void)opaque;
    if (message->err)
        fail("delivery", rd_kafka_err2str(message->err));
}

static rd_kafka_resp_err_t send_one(rd_kafka_t *rk, const char *topic, int i) {
    char key[32], value[32];
    size_t key_size = (size_t)snprintf(key, sizeof key, "k-%d", i);
    size_t value_size = (size_t)snprintf(value, sizeof value, "v-%d", i);
    int keyed = i % 3 != 0;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    if (i % 5 == 0)
        rd_kafka_header_add(headers, "n", -1, NULL, 0);
    rd_kafka_resp_err_t error = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(keyed ? key : NULL, keyed ? key_size : 0), RD_KAFKA_V_VALUE(value, value_size),
        RD_KAFKA_V_TIMESTAMP(1700000000000LL + i), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (error)
        rd_kafka_headers_destroy(headers);
    return error;
}

/* The calls of transactions return an error to be destroyed, or NULL. */
static void must(rd_kafka_error_t *error, const char *what) {
    if (error)
        fail(what, rd_kafka_error_string(error));
}

/* What nobody is to see, and then the beginning of what is. */
static void abort_one(rd_kafka_t *rk, const char *topic) {
    must(rd_kafka_init_transactions(rk, 30000), "init_transactions");
    must(rd_kafka_begin_transaction(rk), "begin_transaction");
    rd_kafka_resp_err_t code = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic),
                                                 RD_KAFKA_V_VALUE("aborted", 7), RD_KAFKA_V_END);
    if (code || rd_kafka_flush(rk, 30000))
        fail("produce", "the record to be aborted");
    must(rd_kafka_abort_transaction(rk, 30000), "abort_transaction");
    must(rd_kafka_begin_transaction(rk), "begin_transaction");
}

static void produce(const char *bootstrap, int count, char *job) {
    char *topic = strtok(job, ","), *codec = strtok(NULL, ","), *acks = strtok(NULL, ",");
    char *mode = strtok(NULL, ",");
    int plain = strcmp(mode, "false") == 0, transactional = strcmp(mode, "transaction") == 0;
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "compression.codec", codec);
    set(conf, "acks", acks);
    set(conf, "enable.idempotence", plain ? "false" : "true");
    if (transactional)
        set(conf, "transactional.id", topic);
    set(conf, "linger.ms", "20");
    set(conf, "message.timeout.ms", "30000");
    set(conf, "max.in.flight", plain ? "1" : "5");
    if (getenv("PARTITIONER"))
        set(conf, "partitioner", getenv("PARTITIONER"));
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!rk)
        fail("new", error);
    if (transactional)
        abort_one(rk, topic);
    for (int i = 0; i < count; i++) {
        if (transactional && i == count / 2) {
            must(rd_kafka_commit_transaction(rk, 30000), "commit_transaction");
            must(rd_kafka_begin_transaction(rk), "begin_transaction");
        }
        rd_kafka_resp_err_t code = send_one(rk, topic, i);
        if (code)
            fail("produce", rd_kafka_err2str(code));
    }
    rd_kafka_resp_err_t code = rd_kafka_flush(rk, 60000);
    if (code)
        fail("flush", rd_kafka_err2str(code));
    if (transactional)
        must(rd_kafka_commit_transaction(rk, 30000), "commit_transaction");
    rd_kafka_destroy(rk);
}

int main(int argc, char **argv) {
    if (argc < 4)
        fail("usage", "producer BOOTSTRAP COUNT TOPIC,CODEC,ACKS,IDEMPOTENT...");
    for (int n = 3; n < argc; n++)
        produce(argv[1], atoi(argv[2]), argv[n]);
    return 0;
}
