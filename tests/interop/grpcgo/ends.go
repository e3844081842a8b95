package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

func init() {
	for name, run := range map[string]func(context.Context, client) error{
		"a_deadline_ends_the_call_on_both_sides":            deadline,
		"a_deadline_ends_a_client_that_is_still_sending":    deadlineWhileSending,
		"the_server_knows_the_deadline":                     knownDeadline,
		"deadlines_of_almost_nothing":                       nearZero,
		"a_hundred_deadlines_at_once":                       hundredDeadlines,
		"a_client_cancels_while_it_waits":                   cancelWaiting,
		"a_client_cancels_what_floods_it":                   cancelFlood,
		"a_client_cancels_while_nobody_reads_what_it_sends": cancelSending,
		"a_server_cancels":                                  serverCancels,
	} {
		cases[name] = run
	}
}

// late watches until the deadline and gives the error.
func late(ctx context.Context, c client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, err := c.watch(ctx, "Watch", nil)
	for err == nil {
		_, err = receive(s)
	}
	return want(err, codes.DeadlineExceeded)
}

func deadline(ctx context.Context, c client) error {
	return errors.Join(late(ctx, c, 300*time.Millisecond), c.heard(ctx))
}

func deadlineWhileSending(ctx context.Context, c client) error {
	within, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	s, err := c.stream(within, "Unread")
	for err == nil {
		err = send(s, make([]byte, 10_000))
	}
	if _, err = receive(s); want(err, codes.DeadlineExceeded) != nil {
		return err
	}
	return c.heard(ctx)
}

func knownDeadline(ctx context.Context, c client) error {
	if n, err := c.number(context.Background(), "Remains"); err != nil || n != -1 {
		return fmt.Errorf("%d, %w", n, err)
	}
	for _, sure := range []int{5, 500, 500_000} {
		within, cancel := context.WithTimeout(context.Background(), time.Duration(sure)*time.Second)
		left, err := c.number(within, "Remains")
		cancel()
		if err != nil || left < (sure-5)*1000 || left > sure*1010 {
			return fmt.Errorf("%d ms of %d s are left, %w", left, sure, err)
		}
	}
	return nil
}

func nearZero(ctx context.Context, c client) error {
	for _, timeout := range []time.Duration{0, 1, time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
		if err := late(ctx, c, timeout); err != nil {
			return fmt.Errorf("%v: %w", timeout, err)
		}
	}
	return c.plain(ctx, []byte("still here"))
}

func hundredDeadlines(ctx context.Context, c client) error {
	err := all(100, func(i int) error { return late(ctx, c, time.Duration(100+i)*time.Millisecond) })
	return errors.Join(err, c.plain(ctx, []byte("still here")))
}

func cancelWaiting(ctx context.Context, c client) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.watch(within, "Watch", []byte("first"))
	if err != nil {
		return err
	}
	if _, err := receive(s); err != nil {
		return err
	}
	cancel()
	_, err = receive(s)
	return errors.Join(want(err, codes.Canceled), c.heard(ctx))
}

func cancelFlood(ctx context.Context, c client) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.watch(within, "Flood", fmt.Append(nil, block))
	for i := 0; i < 10 && err == nil; i++ {
		_, err = receive(s)
	}
	if err != nil {
		return err
	}
	cancel()
	for err == nil {
		_, err = receive(s)
	}
	return errors.Join(want(err, codes.Canceled), c.heard(ctx), c.plain(ctx, []byte("still here")))
}

func cancelSending(ctx context.Context, c client) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.stream(within, "Unread")
	if err != nil {
		return err
	}
	written, over := make(chan struct{}, 1), make(chan error)
	go func() {
		var err error
		for err == nil {
			err = send(s, make([]byte, block))
			select {
			case written <- struct{}{}:
			default:
			}
		}
		over <- err
	}()
	<-written
	cancel()
	<-over
	_, err = receive(s)
	return errors.Join(want(err, codes.Canceled), c.heard(ctx))
}

func serverCancels(ctx context.Context, c client) error {
	for after := 0; after < 4; after += 2 {
		n, err := failed(ctx, c, refusal{Code: 1, Message: "not any more", After: after})
		if n != after {
			return fmt.Errorf("%d messages", n)
		}
		if err := wantStatus(err, codes.Canceled, "not any more"); err != nil {
			return err
		}
	}
	return nil
}
