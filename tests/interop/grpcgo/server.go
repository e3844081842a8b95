package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func serve(address string, o options, config *tls.Config) error {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(serverOptions(o, config)...)
	(&matrix{heard: make(chan struct{}, 1<<20), released: make(chan struct{})}).register(server)
	fmt.Println(listener.Addr())
	return server.Serve(listener)
}

func serverOptions(o options, config *tls.Config) []grpc.ServerOption {
	chosen := []grpc.ServerOption{
		grpc.ForceServerCodec(raw{}), grpc.MaxRecvMsgSize(o.Message),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}),
	}
	if config != nil {
		chosen = append(chosen, grpc.Creds(credentials.NewTLS(config)))
	}
	if o.Window != nil {
		chosen = append(chosen, grpc.InitialWindowSize(*o.Window), grpc.InitialConnWindowSize(*o.Window))
	}
	if o.Streams != nil {
		chosen = append(chosen, grpc.MaxConcurrentStreams(*o.Streams))
	}
	if o.Age != nil {
		chosen = append(chosen, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: seconds(*o.Age), MaxConnectionAgeGrace: 30 * time.Second,
		}))
	}
	if o.Compression {
		//lint:ignore SA1019 the only way to compress for a client that does not ask for it
		chosen = append(chosen, grpc.RPCCompressor(grpc.NewGZIPCompressor()))
	}
	return chosen
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }

// matrix is the service. What it counts is heard by its clients only.
type matrix struct {
	heard    chan struct{} // one for each call whose end its handler has heard of
	released chan struct{}
	release  sync.Once
	sent     atomic.Int64
	begun    atomic.Int64 // handlers of Watch and Unread
}

func (m *matrix) register(server *grpc.Server) {
	desc := grpc.ServiceDesc{ServiceName: "test.Matrix", HandlerType: (*any)(nil)}
	for name, handler := range map[string]func(grpc.ServerStream) error{
		"Plain": plain, "Remains": remains, "Metadata": echoMetadata, "Refuse": fail, "Fail": fail,
		"Heard": m.hear, "Begun": m.started, "Sent": m.count, "Release": m.letGo, "Count": count, "Watch": m.watch,
		"Flood": m.flood, "Total": total, "Unread": m.unread, "Hold": m.hold, "Early": plain, "Chat": chat,
	} {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return handler(s) },
		})
	}
	server.RegisterService(&desc, struct{}{})
}

func read(s grpc.ServerStream) ([]byte, error) {
	var message []byte
	err := s.RecvMsg(&message)
	return message, err
}

func plain(s grpc.ServerStream) error {
	message, err := read(s)
	if err != nil {
		return err
	}
	return s.SendMsg(&message)
}

func remains(s grpc.ServerStream) error {
	if _, err := read(s); err != nil {
		return err
	}
	answer := []byte("-1")
	if deadline, ok := s.Context().Deadline(); ok {
		answer = []byte(strconv.FormatInt(time.Until(deadline).Milliseconds(), 10))
	}
	return s.SendMsg(&answer)
}

func echoMetadata(s grpc.ServerStream) error {
	incoming, _ := metadata.FromIncomingContext(s.Context())
	header, trailer := metadata.MD{}, metadata.MD{}
	for key, values := range incoming {
		if strings.HasPrefix(key, "x-") {
			header[key], trailer["t-"+key] = values, values
		}
	}
	s.SetTrailer(trailer)
	if err := s.SendHeader(header); err != nil {
		return err
	}
	return plain(s)
}

// refusal says how a call is to end.
type refusal struct {
	Code    uint32 `json:"code"`
	Message string `json:"message"`
	After   int    `json:"after"`
	Details bool   `json:"details"`
}

func fail(s grpc.ServerStream) error {
	message, err := read(s)
	if err != nil {
		return err
	}
	var wanted refusal
	if err := json.Unmarshal(message, &wanted); err != nil {
		return err
	}
	for i := 0; i < wanted.After; i++ {
		number := []byte(strconv.Itoa(i))
		if err := s.SendMsg(&number); err != nil {
			return err
		}
	}
	refused := status.New(codes.Code(wanted.Code), wanted.Message)
	if wanted.Details {
		if refused, err = refused.WithDetails(wrapperspb.String("why")); err != nil {
			return err
		}
	}
	return refused.Err()
}

func (m *matrix) hear(s grpc.ServerStream) error {
	select {
	case <-m.heard:
		return plain(s)
	case <-s.Context().Done():
		return context.Cause(s.Context())
	}
}

func (m *matrix) count(s grpc.ServerStream) error   { return tell(s, &m.sent) }
func (m *matrix) started(s grpc.ServerStream) error { return tell(s, &m.begun) }

func tell(s grpc.ServerStream, counted *atomic.Int64) error {
	if _, err := read(s); err != nil {
		return err
	}
	answer := []byte(strconv.FormatInt(counted.Load(), 10))
	return s.SendMsg(&answer)
}

func (m *matrix) letGo(s grpc.ServerStream) error {
	m.release.Do(func() { close(m.released) })
	return plain(s)
}

func count(s grpc.ServerStream) error {
	message, err := read(s)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(message))
	for i := 0; i < n && err == nil; i++ {
		number := []byte(strconv.Itoa(i))
		err = s.SendMsg(&number)
	}
	return err
}

// over waits for the end of a call and says that it was heard of.
func (m *matrix) over(s grpc.ServerStream) error {
	<-s.Context().Done()
	m.heard <- struct{}{}
	return context.Cause(s.Context())
}

func (m *matrix) watch(s grpc.ServerStream) error {
	m.begun.Add(1)
	if err := plain(s); err != nil {
		m.heard <- struct{}{}
		return err
	}
	return m.over(s)
}

func (m *matrix) flood(s grpc.ServerStream) error {
	message, err := read(s)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(message))
	m.sent.Store(0)
	for block := make([]byte, n); err == nil; m.sent.Add(1) {
		err = s.SendMsg(&block)
	}
	return m.over(s)
}

func total(s grpc.ServerStream) error {
	sum := 0
	for {
		message, err := read(s)
		if errors.Is(err, io.EOF) {
			answer := []byte(strconv.Itoa(sum))
			return s.SendMsg(&answer)
		}
		if err != nil {
			return err
		}
		sum += len(message)
	}
}

func (m *matrix) unread(s grpc.ServerStream) error {
	m.begun.Add(1)
	return m.over(s)
}

func (m *matrix) hold(s grpc.ServerStream) error {
	<-m.released
	return total(s)
}

func chat(s grpc.ServerStream) error {
	for {
		message, err := read(s)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := bytes.ToUpper(message)
		if err := s.SendMsg(&answer); err != nil {
			return err
		}
	}
}
