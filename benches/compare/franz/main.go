// The franz-go arm. Records come from a pool and go back when their promise has run, as in that library's own benchmark.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const unset = -1 << 30

var (
	bootstrap    = flag.String("bootstrap", "127.0.0.1:9092", "")
	topic        = flag.String("topic", "bench", "")
	records      = flag.Int("records", 1_000_000, "")
	warmup       = flag.Int("warmup", 0, "")
	size         = flag.Int("size", 100, "")
	keyCount     = flag.Int("keys", 0, "")
	lingerMs     = flag.Int("linger-ms", unset, "")
	batchSize    = flag.Int("batch-size", unset, "")
	bufferMemory = flag.Int("buffer-memory", unset, "")
	acks         = flag.String("acks", "all", "")
	idempotence  = flag.String("idempotence", "true", "")
	compression  = flag.String("compression", "none", "")
	level        = flag.Int("level", unset, "")
	threads      = flag.Int("threads", 1, "")
	mode         = flag.String("mode", "throughput", "")
	payloadFile  = flag.String("payload-file", "", "")

	bytes  []byte
	count  int
	keys   [][]byte
	failed atomic.Int64
	pool   = sync.Pool{New: func() any { return new(kgo.Record) }}
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz:", err)
		os.Exit(1)
	}
}

func load() {
	var err error
	bytes, err = os.ReadFile(*payloadFile)
	check(err)
	count = len(bytes) / *size
	for n := range *keyCount {
		keys = append(keys, fmt.Appendf(nil, "user-%06d", n))
	}
}

func fill(r *kgo.Record, n int) {
	start := n % count * *size
	r.Value = bytes[start : start+*size]
	if len(keys) > 0 {
		r.Key = keys[uint64(n)*2_654_435_761%uint64(len(keys))]
	}
}

// done is the promise of every record: one function, so that none is allocated for a record.
func done(r *kgo.Record, err error) {
	if err != nil && failed.Add(1) == 1 {
		fmt.Fprintln(os.Stderr, "franz:", err)
	}
	*r = kgo.Record{}
	pool.Put(r)
}

func client() *kgo.Client {
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.DefaultProduceTopic(*topic),
	}
	switch *acks {
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if *idempotence != "true" {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	codec := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[*compression]
	if *level != unset {
		codec = codec.WithLevel(*level)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	if *lingerMs != unset {
		opts = append(opts, kgo.ProducerLinger(time.Duration(*lingerMs)*time.Millisecond))
	}
	if *batchSize != unset {
		opts = append(opts, kgo.ProducerBatchMaxBytes(int32(*batchSize)))
	}
	if *bufferMemory != unset {
		// By bytes, as with the others: its default of 50,000 records would keep large batches of small records from filling.
		opts = append(opts, kgo.MaxBufferedBytes(*bufferMemory), kgo.MaxBufferedRecords(10_000_000))
	}
	c, err := kgo.NewClient(opts...)
	check(err)
	return c
}

func sendShares(c *kgo.Client, total int) {
	ctx := context.Background()
	send := func(from, to int) {
		for n := from; n < to; n++ {
			r := pool.Get().(*kgo.Record)
			fill(r, n)
			c.Produce(ctx, r, done)
		}
	}
	if *threads == 1 {
		send(0, total)
	} else {
		var wg sync.WaitGroup
		for t := range *threads {
			wg.Go(func() { send(total*t / *threads, total*(t+1) / *threads) })
		}
		wg.Wait()
	}
	check(c.Flush(ctx))
}

func sendAndWait(c *kgo.Client, n int) {
	r := new(kgo.Record)
	fill(r, n)
	if err := c.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		failed.Add(1)
	}
}

func main() {
	flag.Parse()
	load()
	c := client()
	var latencies []time.Duration
	var started usage
	if *mode == "sync" {
		for n := range *warmup {
			sendAndWait(c, n)
		}
		latencies = make([]time.Duration, 0, *records)
		started = now()
		for n := range *records {
			at := time.Now()
			sendAndWait(c, n)
			latencies = append(latencies, time.Since(at))
		}
	} else {
		sendShares(c, *warmup)
		started = now()
		sendShares(c, *records)
	}
	report(started, latencies)
	c.Close()
}

type usage struct {
	at           time.Time
	user, system float64
	switches     int
}

func procfs(path string) string {
	text, err := os.ReadFile(path)
	check(err)
	return string(text)
}

func field(text, name string) int {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			check(err)
			return n
		}
	}
	return 0
}

func now() usage {
	stat := procfs("/proc/self/stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+2:])
	user, err := strconv.ParseFloat(fields[11], 64)
	check(err)
	system, err := strconv.ParseFloat(fields[12], 64)
	check(err)
	tasks, err := os.ReadDir("/proc/self/task")
	check(err)
	switches := 0
	for _, task := range tasks {
		if text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status"); err == nil {
			switches += field(string(text), "voluntary_ctxt_switches:")
		}
	}
	return usage{time.Now(), user / 100, system / 100, switches}
}

func report(from usage, latencies []time.Duration) {
	seconds := time.Since(from.at).Seconds()
	to := now()
	fmt.Printf(`{"records":%d,"seconds":%.6f,"user":%.2f,"system":%.2f,"max_rss_kib":%d,"switches":%d,"errors":%d`,
		*records, seconds, to.user-from.user, to.system-from.system,
		field(procfs("/proc/self/status"), "VmHWM:"), max(to.switches-from.switches, 0), failed.Load())
	if n := len(latencies); n > 0 {
		sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
		at := func(part float64) float64 {
			return float64(latencies[min(int(float64(n)*part), n-1)].Nanoseconds()) / 1e3
		}
		fmt.Printf(`,"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f`, at(0.5), at(0.99), at(0.999), at(1))
	}
	fmt.Println("}")
}
