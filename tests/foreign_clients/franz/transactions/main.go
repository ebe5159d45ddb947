// What franz-go does with a cluster, for tests that know what must come of it.
//
//	franz transact BOOTSTRAP TOPIC PARTITIONS ID GROUP   commits c-0..9, aborts a-0..9, commits d-0..9 with an offset
//	franz send BOOTSTRAP TOPIC PARTITIONS COUNT          idempotent, without transactions: s-0..COUNT
//	franz read BOOTSTRAP TOPIC PARTITIONS ISOLATION      lines of partition, offset, value; up to the end
//	franz offset BOOTSTRAP TOPIC GROUP                   the group's offset of partition 0
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	must(err)
	return n
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	// A connection that ends early means a fault here, and not that credentials are missing.
	options = append(options, kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.AlwaysRetryEOF())
	cl, err := kgo.NewClient(options...)
	must(err)
	return cl
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	a := os.Args
	switch a[1] {
	case "transact":
		transact(ctx, a[2], a[3], number(a[4]), a[5], a[6])
	case "send":
		cl := client(a[2])
		send(ctx, cl, a[3], number(a[4]), "s", number(a[5]))
		cl.Close()
	case "read":
		read(ctx, a[2], a[3], number(a[4]), a[5])
	case "offset":
		offset(ctx, a[2], a[3], a[4])
	}
}

func send(ctx context.Context, cl *kgo.Client, topic string, partitions int, name string, count int) {
	for i := 0; i < count; i++ {
		value := []byte(fmt.Sprintf("%s-%d", name, i))
		record := &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: value}
		cl.Produce(ctx, record, func(_ *kgo.Record, err error) { must(err) })
		if i%5 == 4 {
			// Several requests, so that there is something to go wrong in the middle.
			must(cl.Flush(ctx))
		}
	}
	must(cl.Flush(ctx))
}

func transact(ctx context.Context, bootstrap, topic string, partitions int, id, group string) {
	// The request below is written for transactions of version 1, which every cluster takes.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 4)
	cl := client(bootstrap, kgo.TransactionalID(id), kgo.MaxVersions(versions))
	for _, name := range []string{"c", "a", "d"} {
		must(cl.BeginTransaction())
		send(ctx, cl, topic, partitions, name, 10)
		if name == "d" {
			commitOffset(ctx, cl, topic, id, group)
		}
		end := kgo.TryCommit
		if name == "a" {
			end = kgo.TryAbort
		}
		must(cl.EndTransaction(ctx, end))
	}
	cl.Close()
}

// The library commits offsets within transactions for members of a group only; this is the request that it would send.
func commitOffset(ctx context.Context, cl *kgo.Client, topic, id, group string) {
	producer, epoch, err := cl.ProducerID(ctx)
	must(err)
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, producer, epoch, group
	added, err := add.RequestWith(ctx, cl)
	must(err)
	check(added.ErrorCode)
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group = id, group
	commit.ProducerID, commit.ProducerEpoch = producer, epoch
	partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	partition.Offset = 42
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, partition)
	commit.Topics = append(commit.Topics, t)
	committed, err := commit.RequestWith(ctx, cl)
	must(err)
	check(committed.Topics[0].Partitions[0].ErrorCode)
}

func check(code int16) {
	if code != 0 {
		must(fmt.Errorf("error code %d", code))
	}
}

func read(ctx context.Context, bootstrap, topic string, partitions int, isolation string) {
	level := kgo.ReadUncommitted()
	if isolation == "read_committed" {
		level = kgo.ReadCommitted()
	}
	from := map[int32]kgo.Offset{}
	for p := 0; p < partitions; p++ {
		from[int32(p)] = kgo.NewOffset().AtStart()
	}
	// Markers show where the reading is, also behind records that were aborted.
	cl := client(bootstrap, kgo.FetchIsolationLevel(level), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	behind := ends(ctx, cl, topic, partitions, isolation)
	for len(behind) > 0 {
		fetches := cl.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			must(e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				fmt.Println(r.Partition, r.Offset, string(r.Value))
			}
			if r.Offset+1 >= behind[r.Partition] {
				delete(behind, r.Partition)
			}
		})
	}
	cl.Close()
}

// The end of each partition that has any records.
func ends(ctx context.Context, cl *kgo.Client, topic string, partitions int, isolation string) map[int32]int64 {
	request := kmsg.NewPtrListOffsetsRequest()
	if isolation == "read_committed" {
		request.IsolationLevel = 1
	}
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for p := 0; p < partitions; p++ {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = int32(p), -1
		t.Partitions = append(t.Partitions, partition)
	}
	request.Topics = append(request.Topics, t)
	response, err := request.RequestWith(ctx, cl)
	must(err)
	found := map[int32]int64{}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			check(p.ErrorCode)
			if p.Offset > 0 {
				found[p.Partition] = p.Offset
			}
		}
	}
	return found
}

func offset(ctx context.Context, bootstrap, topic, group string) {
	cl := client(bootstrap)
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic = topic
	t.Partitions = []int32{0}
	request.Topics = append(request.Topics, t)
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic = topic
	gt.Partitions = []int32{0}
	g.Topics = append(g.Topics, gt)
	request.Groups = append(request.Groups, g)
	request.RequireStable = true
	response, err := request.RequestWith(ctx, cl)
	must(err)
	if len(response.Groups) > 0 {
		fmt.Println(response.Groups[0].Topics[0].Partitions[0].Offset)
	} else {
		fmt.Println(response.Topics[0].Partitions[0].Offset)
	}
	cl.Close()
}
