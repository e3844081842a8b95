package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

func init() {
	for name, run := range map[string]func(context.Context, client) error{
		"a_client_that_reads_slowly_holds_the_server_back":      slowClient,
		"a_server_that_reads_slowly_holds_the_client_back":      slowServer,
		"small_windows_both_ways":                               smallWindows,
		"a_reader_of_small_windows_that_stops_blocks_nobody":    stoppedReader,
		"small_calls_are_not_starved_by_large_ones":             notStarved,
		"large_and_small_calls_at_once":                         largeAndSmall,
		"forty_connections_at_once":                             forty,
		"connections_that_grow_old_lose_no_call":                oldConnections,
		"a_call_that_is_under_way_outlives_its_connections_age": outlives,
		"keepalive_pings_are_answered":                          pings,
		"a_call_that_waits_until_the_server_is_ready":           waitForReady,
		"ten_thousand_streams":                                  tenThousand,
	} {
		cases[name] = run
	}
}

// flooded opens a stream of large messages and reads n of them.
func flooded(ctx context.Context, c client, n int) (grpc.ClientStream, error) {
	s, err := c.watch(ctx, "Flood", fmt.Append(nil, block))
	if err != nil {
		return nil, err
	}
	return s, blocks(s, n)
}

func blocks(s grpc.ClientStream, n int) error {
	for i := 0; i < n; i++ {
		message, err := receive(s)
		if err != nil || len(message) != block {
			return fmt.Errorf("%d bytes, %w", len(message), err)
		}
	}
	return nil
}

func slowClient(ctx context.Context, c client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := flooded(ctx, c, 1)
	if err != nil {
		return err
	}
	for last, same := -1, 0; same < 5; {
		sent, err := c.number(ctx, "Sent")
		if err != nil || sent > 200 {
			return fmt.Errorf("%d sent, %w", sent, err)
		}
		same++
		if sent != last {
			last, same = sent, 0
		}
	}
	return blocks(s, 250)
}

func slowServer(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Hold")
	if err != nil {
		return err
	}
	const many = 400
	var written atomic.Int64
	sent := make(chan error, 1)
	go func() {
		for i := 0; i < many; i++ {
			if err := send(s, make([]byte, block)); err != nil {
				sent <- err
				return
			}
			written.Add(1)
		}
		sent <- s.CloseSend()
	}()
	for before := int64(-1); before != written.Load(); {
		before = written.Load()
		for i := 0; i < 10; i++ {
			if err := c.plain(ctx, []byte("others go on")); err != nil {
				return err
			}
		}
	}
	if written.Load() > 200 {
		return fmt.Errorf("%d were taken", written.Load())
	}
	if _, err := c.unary(ctx, "Release", nil); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	total, err := receive(s)
	return errors.Join(err, equal(total, fmt.Append(nil, many*block)))
}

func smallWindows(ctx context.Context, c client) error {
	message := bytes.Repeat([]byte("0123456789ABCDEF"), mib/2)
	if err := c.plain(ctx, message); err != nil {
		return err
	}
	parts := make([][]byte, 30)
	for i := range parts {
		parts[i] = message[:block]
	}
	return all(53, func(i int) error {
		if i < 3 {
			return chatted(ctx, c, parts)
		}
		return c.plain(ctx, fmt.Append(nil, i))
	})
}

func stoppedReader(ctx context.Context, c client) error {
	other, err := c.another()
	if err != nil {
		return err
	}
	defer other.conn.Close()
	s, err := flooded(ctx, other, 1)
	for i := 0; i < 200 && err == nil; i++ {
		err = c.plain(ctx, fmt.Append(nil, i))
	}
	return errors.Join(err, blocks(s, 20))
}

func notStarved(ctx context.Context, c client) error {
	floods, cancel := context.WithCancel(ctx)
	defer cancel()
	var read atomic.Int64
	for i := 0; i < 4; i++ {
		s, err := flooded(floods, c, 0)
		if err != nil {
			return err
		}
		go func() {
			for blocks(s, 1) == nil {
				read.Add(block)
			}
		}()
	}
	for i := 0; i < 40; i++ {
		if err := c.plain(ctx, fmt.Append(nil, i)); err != nil {
			return err
		}
	}
	if read.Load() == 0 {
		return errors.New("the floods have stood still")
	}
	return nil
}

func largeAndSmall(ctx context.Context, c client) error {
	message := bytes.Repeat([]byte("0123456789abcdef"), mib/8)
	return all(206, func(i int) error {
		if i < 6 {
			return c.plain(ctx, message)
		}
		return c.plain(ctx, fmt.Append(nil, i))
	})
}

func forty(ctx context.Context, c client) error {
	return all(40, func(i int) error {
		other, err := c.another()
		if err != nil {
			return err
		}
		defer other.conn.Close()
		return all(10, func(n int) error { return other.plain(ctx, fmt.Append(nil, i, n)) })
	})
}

func oldConnections(ctx context.Context, c client) error {
	var done atomic.Int64
	end := time.Now().Add(time.Second)
	err := all(20, func(i int) error {
		for time.Now().Before(end) || done.Load() < 200 {
			n := done.Add(1)
			if i >= 4 {
				if err := c.plain(ctx, fmt.Append(nil, n)); err != nil {
					return err
				}
			} else if err := chatted(ctx, c, [][]byte{[]byte("a"), []byte("b"), []byte("c")}); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Printf("%d calls over 5 connections or so, none lost\n", done.Load())
	return err
}

func outlives(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Chat")
	if err != nil {
		return err
	}
	for i := 0; i < 6; i++ {
		word := fmt.Append(nil, i)
		if err := send(s, word); err != nil {
			return err
		}
		answer, err := receive(s)
		if err := errors.Join(err, equal(answer, word)); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return ended(s)
}

// pings is silent for longer than grpc-go's shortest keepalive, 10 s, and its patience together.
func pings(ctx context.Context, c client) error {
	s, err := c.watch(ctx, "Watch", nil)
	if err != nil {
		return err
	}
	if _, err := receive(s); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() {
		_, err := receive(s)
		over <- err
	}()
	select {
	case err := <-over:
		return fmt.Errorf("the stream ended: %w", err)
	case <-time.After(23 * time.Second):
		return c.plain(ctx, []byte("still here"))
	}
}

// waitForReady says when it is known to wait, and goes on to wait.
func waitForReady(ctx context.Context, c client) error {
	answered := make(chan error, 1)
	go func() {
		_, err := c.unary(ctx, "Plain", nil, grpc.WaitForReady(true))
		answered <- err
	}()
	for i := 0; i < 3; i++ {
		if _, err := c.unary(ctx, "Plain", nil); want(err, codes.Unavailable) != nil {
			return err
		}
	}
	fmt.Println("waiting")
	return <-answered
}

// tenThousand opens as many streams, says so, and lets them go when it is told to.
func tenThousand(ctx context.Context, c client) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	err := all(10_000, func(i int) error {
		s, err := c.watch(within, "Watch", fmt.Append(nil, i))
		if err != nil {
			return err
		}
		first, err := receive(s)
		return errors.Join(err, equal(first, fmt.Append(nil, i)))
	})
	if err != nil {
		return err
	}
	fmt.Println("open")
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := c.plain(ctx, []byte("still here")); err != nil {
		return err
	}
	cancel()
	return c.plain(ctx, []byte("still here"))
}
