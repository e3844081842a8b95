package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	service  = "/test.Matrix/"
	patience = 60 * time.Second
	mib      = 1 << 20
	block    = 100_000
)

// client is one connection; another makes one more to the same server.
type client struct {
	conn    *grpc.ClientConn
	another func() (client, error)
}

// cases are named as the scenarios of tests/runtime/rpc/matrix are; a few are Go's own.
var cases = map[string]func(context.Context, client) error{}

func check(target, name string, o options, config *tls.Config) error {
	run, ok := cases[name]
	if !ok {
		return fmt.Errorf("no case %s", name)
	}
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	var connect func() (client, error)
	connect = func() (client, error) {
		conn, err := grpc.NewClient(target, clientOptions(o, creds)...)
		return client{conn, connect}, err
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return run(ctx, c)
}

func clientOptions(o options, creds credentials.TransportCredentials) []grpc.DialOption {
	calls := []grpc.CallOption{
		grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(o.Message), grpc.MaxCallSendMsgSize(1 << 30),
	}
	if o.Compression {
		calls = append(calls, grpc.UseCompressor(gzip.Name))
	}
	chosen := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(calls...)}
	if o.Window != nil {
		chosen = append(chosen, grpc.WithInitialWindowSize(*o.Window), grpc.WithInitialConnWindowSize(*o.Window))
	}
	if o.Keepalive != nil {
		chosen = append(chosen, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: seconds(*o.Keepalive), Timeout: time.Second, PermitWithoutStream: true,
		}))
	}
	return chosen
}

func (c client) unary(ctx context.Context, method string, request []byte, opts ...grpc.CallOption) ([]byte, error) {
	var answer []byte
	err := c.conn.Invoke(ctx, service+method, &request, &answer, opts...)
	return answer, err
}

// plain makes a call that must be answered with what it asks.
func (c client) plain(ctx context.Context, message []byte) error {
	answer, err := c.unary(ctx, "Plain", message)
	if err != nil {
		return err
	}
	return equal(answer, message)
}

func (c client) stream(ctx context.Context, method string) (grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	return c.conn.NewStream(ctx, desc, service+method)
}

// watch opens a stream of responses to one request.
func (c client) watch(ctx context.Context, method string, request []byte) (grpc.ClientStream, error) {
	s, err := c.stream(ctx, method)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(&request); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s, s.CloseSend()
}

func (c client) number(ctx context.Context, method string) (int, error) {
	answer, err := c.unary(ctx, method, nil)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(answer))
}

// heard returns once a handler has heard of its call's end.
func (c client) heard(ctx context.Context) error {
	_, err := c.unary(ctx, "Heard", nil)
	return err
}

func (r refusal) bytes() []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return data
}

func receive(s grpc.ClientStream) ([]byte, error) {
	var message []byte
	err := s.RecvMsg(&message)
	return message, err
}

func send(s grpc.ClientStream, message []byte) error { return s.SendMsg(&message) }

// rest reads a stream to its end.
func rest(s grpc.ClientStream) (all [][]byte, err error) {
	for {
		message, err := receive(s)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, message)
	}
}

func equal(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
	}
	return nil
}

func want(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("got %v, want %v", err, code)
	}
	return nil
}

func wantStatus(err error, code codes.Code, message string) error {
	if s := status.Convert(err); s.Code() != code || s.Message() != message {
		return fmt.Errorf("got %v, want %v %q", err, code, message)
	}
	return nil
}

// all runs n functions at once and returns one of their errors.
func all(n int, run func(int) error) error {
	failures := make(chan error, n)
	for i := 0; i < n; i++ {
		go func() { failures <- run(i) }()
	}
	var failed error
	for i := 0; i < n; i++ {
		if err := <-failures; err != nil {
			failed = err
		}
	}
	return failed
}
