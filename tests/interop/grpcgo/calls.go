package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func init() {
	for name, run := range map[string]func(context.Context, client) error{
		"a_request_and_a_response":                            unary,
		"a_stream_of_responses":                               responses,
		"a_stream_of_requests":                                requests,
		"streams_both_ways_in_step":                           inStep,
		"streams_both_ways_at_once":                           bothAtOnce,
		"three_hundred_calls_at_once":                         threeHundred,
		"the_client_closes_its_half_first":                    clientFirst,
		"the_server_ends_before_the_client_has":               serverFirst,
		"every_code_alone":                                    everyCode,
		"an_error_after_messages":                             afterMessages,
		"every_message_of_an_error":                           everyMessage,
		"an_error_with_details":                               details,
		"methods_that_are_not_there":                          unimplemented,
		"metadata_both_ways":                                  sendMetadata,
		"metadata_up_to_the_limit":                            largeMetadata,
		"metadata_above_the_limit_ends_that_call_alone":       tooLargeMetadata,
		"sixteen_mebibytes_both_ways":                         sixteen,
		"a_request_above_the_limit_is_refused_by_the_server":  tooLargeRequest,
		"a_response_above_the_limit_is_refused_by_the_client": tooLargeResponse,
		"a_compressing_client_is_told_that_we_do_not":         compressed,
	} {
		cases[name] = run
	}
}

func unary(ctx context.Context, c client) error {
	for _, size := range []int{0, 1, 16_379, 70_000, 3 * mib} {
		if err := c.plain(ctx, make([]byte, size)); err != nil {
			return err
		}
	}
	return nil
}

func responses(ctx context.Context, c client) error {
	for _, n := range []int{1000, 0} {
		s, err := c.watch(ctx, "Count", fmt.Append(nil, n))
		if err != nil {
			return err
		}
		got, err := rest(s)
		if err != nil || len(got) != n {
			return fmt.Errorf("%d messages, %w", len(got), err)
		}
		for i, message := range got {
			if err := equal(message, fmt.Append(nil, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func requests(ctx context.Context, c client) error {
	for _, n := range []int{300, 0} {
		s, err := c.stream(ctx, "Total")
		if err != nil {
			return err
		}
		for i := 0; i < n; i++ {
			if err := send(s, make([]byte, 1000)); err != nil {
				return err
			}
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		got, err := rest(s)
		if err != nil || len(got) != 1 {
			return fmt.Errorf("%d messages, %w", len(got), err)
		}
		if err := equal(got[0], fmt.Append(nil, n*1000)); err != nil {
			return err
		}
	}
	return nil
}

func inStep(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Chat")
	if err != nil {
		return err
	}
	for _, word := range []string{"one", "", "three"} {
		if err := send(s, []byte(word)); err != nil {
			return err
		}
		answer, err := receive(s)
		if err != nil || string(answer) != strings.ToUpper(word) {
			return fmt.Errorf("%q, %w", answer, err)
		}
	}
	return ended(s)
}

// ended closes our half and wants the end of the other.
func ended(s grpc.ClientStream) error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := receive(s); !errors.Is(err, io.EOF) {
		return fmt.Errorf("no end: %w", err)
	}
	return nil
}

func chatted(ctx context.Context, c client, messages [][]byte) error {
	s, err := c.stream(ctx, "Chat")
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		for _, message := range messages {
			if err := send(s, message); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	got, err := rest(s)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	if len(got) != len(messages) {
		return fmt.Errorf("%d of %d messages", len(got), len(messages))
	}
	for i, message := range messages {
		if err := equal(got[i], bytes.ToUpper(message)); err != nil {
			return err
		}
	}
	return nil
}

func bothAtOnce(ctx context.Context, c client) error {
	messages := make([][]byte, 500)
	for i := range messages {
		messages[i] = bytes.Repeat(fmt.Append(nil, i), 500)
	}
	return chatted(ctx, c, messages)
}

func threeHundred(ctx context.Context, c client) error {
	return all(300, func(i int) error { return c.plain(ctx, fmt.Append(nil, i)) })
}

func clientFirst(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Chat")
	if err != nil {
		return err
	}
	return ended(s)
}

func serverFirst(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Early")
	if err != nil {
		return err
	}
	if err := send(s, []byte("one of many")); err != nil {
		return err
	}
	got, err := rest(s)
	if err != nil || len(got) != 1 || string(got[0]) != "one of many" {
		return fmt.Errorf("%q, %w", got, err)
	}
	return c.plain(ctx, []byte("still here"))
}

// failed gives the messages before the error of a call to Fail, and that error.
func failed(ctx context.Context, c client, r refusal) (int, error) {
	s, err := c.watch(ctx, "Fail", r.bytes())
	if err != nil {
		return 0, err
	}
	got, err := rest(s)
	return len(got), err
}

func everyCode(ctx context.Context, c client) error {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		r := refusal{Code: uint32(code), Message: "as " + code.String()}
		_, err := c.unary(ctx, "Refuse", r.bytes())
		if err := wantStatus(err, code, r.Message); err != nil {
			return err
		}
		_, err = failed(ctx, c, r)
		if err := wantStatus(err, code, r.Message); err != nil {
			return err
		}
	}
	return nil
}

func afterMessages(ctx context.Context, c client) error {
	n, err := failed(ctx, c, refusal{Code: 9, Message: "enough", After: 3})
	if n != 3 {
		return fmt.Errorf("%d messages", n)
	}
	return wantStatus(err, codes.FailedPrecondition, "enough")
}

func everyMessage(ctx context.Context, c client) error {
	messages := []string{
		"", "plain", "no: 100% ünicode\n\t", "%41 is no escape", "日本語 🙂", strings.Repeat("x", 2000),
	}
	for _, message := range messages {
		for after := 0; after < 2; after++ {
			n, err := failed(ctx, c, refusal{Code: 5, Message: message, After: after})
			if n != after {
				return fmt.Errorf("%d messages", n)
			}
			if err := wantStatus(err, codes.NotFound, message); err != nil {
				return err
			}
		}
	}
	return nil
}

func details(ctx context.Context, c client) error {
	for after := 0; after < 4; after += 2 {
		_, err := failed(ctx, c, refusal{Code: 7, Message: "no", After: after, Details: true})
		if err := wantStatus(err, codes.PermissionDenied, "no"); err != nil {
			return err
		}
		found := status.Convert(err).Details()
		if len(found) != 1 {
			return fmt.Errorf("%d details", len(found))
		}
		if value, ok := found[0].(*wrapperspb.StringValue); !ok || value.Value != "why" {
			return fmt.Errorf("got detail %v", found[0])
		}
	}
	return nil
}

func unimplemented(ctx context.Context, c client) error {
	var answer []byte
	for _, path := range []string{service + "Nope", "/test.Nowhere/Plain", "/nothing"} {
		request := []byte{}
		if err := want(c.conn.Invoke(ctx, path, &request, &answer), codes.Unimplemented); err != nil {
			return err
		}
	}
	return nil
}

// echoed sends metadata and wants the same back, twice.
func echoed(ctx context.Context, c client, pairs ...string) error {
	sent := metadata.Pairs(pairs...)
	var header, trailer metadata.MD
	ctx = metadata.NewOutgoingContext(ctx, sent)
	if _, err := c.unary(ctx, "Metadata", nil, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		return err
	}
	for key, values := range sent {
		want := fmt.Sprintf("%q", values)
		if got := fmt.Sprintf("%q", header.Get(key)); got != want {
			return fmt.Errorf("header %s: %.100s, want %.100s", key, got, want)
		}
		if got := fmt.Sprintf("%q", trailer.Get("t-"+key)); got != want {
			return fmt.Errorf("trailer %s: %.100s, want %.100s", key, got, want)
		}
	}
	return nil
}

func sendMetadata(ctx context.Context, c client) error {
	return echoed(ctx, c, "x-text", "one", "x-bytes-bin", "\x00\xff", "x-text", "two",
		"x-bytes-bin", "", "x-bytes-bin", "a,b", "x-empty", "")
}

func largeMetadata(ctx context.Context, c client) error {
	return echoed(ctx, c, "x-large-bin", strings.Repeat("\x00\x80\xff!", 1536), "x-text", strings.Repeat("t", 4000))
}

func tooLargeMetadata(ctx context.Context, c client) error {
	s, err := c.watch(ctx, "Watch", []byte("held"))
	if err != nil {
		return err
	}
	if _, err := receive(s); err != nil {
		return err
	}
	large := metadata.AppendToOutgoingContext(ctx, "x-large", strings.Repeat("x", 17_000))
	if _, err := c.unary(large, "Plain", nil); err == nil {
		return errors.New("it was answered")
	}
	return c.plain(ctx, []byte("still here"))
}

func sixteen(ctx context.Context, c client) error {
	message := bytes.Repeat([]byte("0123456789abcdef"), mib)
	if err := c.plain(ctx, message); err != nil {
		return err
	}
	return chatted(ctx, c, [][]byte{message})
}

func tooLargeRequest(ctx context.Context, c client) error {
	const why = "received message larger than max (4194305 vs. 4194304)"
	_, err := c.unary(ctx, "Plain", make([]byte, 4*mib+1))
	if err := wantStatus(err, codes.ResourceExhausted, why); err != nil {
		return err
	}
	return c.plain(ctx, make([]byte, 4*mib))
}

func tooLargeResponse(ctx context.Context, c client) error {
	s, err := c.watch(ctx, "Flood", fmt.Append(nil, 4*mib+1))
	if err != nil {
		return err
	}
	_, err = receive(s)
	if err := want(err, codes.ResourceExhausted); err != nil {
		return err
	}
	if err := c.heard(ctx); err != nil {
		return err
	}
	return c.plain(ctx, []byte("still here"))
}

func compressed(ctx context.Context, c client) error {
	_, err := c.unary(ctx, "Plain", make([]byte, 1000))
	return wantStatus(err, codes.Unimplemented, "grpc-encoding 'gzip' is not supported")
}
