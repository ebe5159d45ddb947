// The records of tests/foreign_clients through franz-go: franz BOOTSTRAP COUNT TOPIC,CODEC,ACKS,true|false|transaction...
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz:", err)
		os.Exit(1)
	}
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	check(err)
	for _, job := range os.Args[3:] {
		words := strings.Split(job, ",")
		produce(os.Args[1], count, words[0], words[1], words[2], words[3])
	}
}

func produce(bootstrap string, count int, topic, codec, acks, mode string) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	levels := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(bootstrap, ",")...),
		kgo.ProducerBatchCompression(codecs[codec]),
		kgo.RequiredAcks(levels[acks]),
		kgo.ProducerLinger(20 * time.Millisecond),
	}
	transactional := mode == "transaction"
	if transactional {
		opts = append(opts, kgo.TransactionalID(topic))
	}
	if mode == "false" {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	client, err := kgo.NewClient(opts...)
	check(err)
	defer client.Close()
	// Not RecordDeliveryTimeout, which counts from a record's own timestamp.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	end := func(how kgo.TransactionEndTry) {
		check(client.Flush(ctx))
		check(client.EndTransaction(ctx, how))
	}
	if transactional {
		check(client.BeginTransaction())
		// What nobody is to see.
		check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("aborted")}).FirstErr())
		end(kgo.TryAbort)
		check(client.BeginTransaction())
	}
	for i := range count {
		if transactional && i == count/2 {
			end(kgo.TryCommit)
			check(client.BeginTransaction())
		}
		record := &kgo.Record{
			Topic:     topic,
			Value:     fmt.Appendf(nil, "v-%d", i),
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
		}
		if i%3 != 0 {
			record.Key = fmt.Appendf(nil, "k-%d", i)
		}
		if i%5 == 0 {
			record.Headers = []kgo.RecordHeader{{Key: "n", Value: nil}}
		}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) { check(err) })
	}
	if transactional {
		end(kgo.TryCommit)
	}
	check(client.Flush(ctx))
}
