package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "/test.Echo/"

type client struct{ conn *grpc.ClientConn }

func (c client) unary(ctx context.Context, method string, request []byte, opts ...grpc.CallOption) ([]byte, error) {
	var answer []byte
	err := c.conn.Invoke(ctx, service+method, &request, &answer, opts...)
	return answer, err
}

func (c client) stream(ctx context.Context, method string) (grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	return c.conn.NewStream(ctx, desc, service+method)
}

func (c client) watch(ctx context.Context, method, request string) (grpc.ClientStream, error) {
	s, err := c.stream(ctx, method)
	if err != nil {
		return nil, err
	}
	message := []byte(request)
	if err := s.SendMsg(&message); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}

func check(target string, files []string) error {
	creds := insecure.NewCredentials()
	if len(files) == 3 {
		config, err := tlsConfig(files)
		if err != nil {
			return err
		}
		creds = credentials.NewTLS(config)
	}
	const most = 64 << 20
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most)))
	if err != nil {
		return err
	}
	defer conn.Close()
	c := client{conn}
	for _, one := range []struct {
		name string
		run  func(context.Context, client) error
	}{
		{"unary", unary}, {"server stream", serverStream}, {"client stream", clientStream},
		{"both streams", bothStreams}, {"metadata", sendMetadata}, {"details", details},
		{"unimplemented", unimplemented}, {"deadline", deadline}, {"cancel", cancelled},
		{"large", large}, {"many", many}, {"slow reader", slowReader},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		err := one.run(ctx, c)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		fmt.Println("ok", one.name)
	}
	return nil
}

func tlsConfig(files []string) (*tls.Config, error) {
	ca, err := os.ReadFile(files[0])
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(files[1], files[2])
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots, ServerName: "finial-test", Certificates: []tls.Certificate{pair}}, nil
}

func equal(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(got), got, len(want), want)
	}
	return nil
}

func unary(ctx context.Context, c client) error {
	for _, method := range []string{"Plain", "Later"} {
		for _, message := range [][]byte{{}, []byte("hello"), make([]byte, 100_000)} {
			answer, err := c.unary(ctx, method, message)
			if err != nil {
				return err
			}
			if err := equal(answer, message); err != nil {
				return err
			}
		}
	}
	return nil
}

func receive(s grpc.ClientStream) (string, error) {
	var message []byte
	err := s.RecvMsg(&message)
	return string(message), err
}

func serverStream(ctx context.Context, c client) error {
	s, err := c.watch(ctx, "Count", "100")
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		message, err := receive(s)
		if errors.Is(err, io.EOF) && i == 100 {
			return nil
		}
		if err != nil || message != fmt.Sprint(i) {
			return fmt.Errorf("message %d: %q, %w", i, message, err)
		}
	}
}

func clientStream(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Total")
	if err != nil {
		return err
	}
	for i := 0; i < 100; i++ {
		message := make([]byte, 1000)
		if err := s.SendMsg(&message); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	total, err := receive(s)
	if err != nil || total != "100000" {
		return fmt.Errorf("%q, %w", total, err)
	}
	return nil
}

func bothStreams(ctx context.Context, c client) error {
	s, err := c.stream(ctx, "Chat")
	if err != nil {
		return err
	}
	for _, word := range []string{"one", "", "three"} {
		message := []byte(word)
		if err := s.SendMsg(&message); err != nil {
			return err
		}
		answer, err := receive(s)
		if err != nil || answer != strings.ToUpper(word) {
			return fmt.Errorf("%q, %w", answer, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	if _, err := receive(s); !errors.Is(err, io.EOF) {
		return fmt.Errorf("no end: %w", err)
	}
	return nil
}

func sendMetadata(ctx context.Context, c client) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-text", "one", "x-bytes-bin", "\x00\xff", "x-text", "two")
	var header, trailer metadata.MD
	if _, err := c.unary(ctx, "Metadata", nil, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		return err
	}
	for md, prefix := range map[*metadata.MD]string{&header: "", &trailer: "t-"} {
		if got := fmt.Sprintf("%q %q", md.Get(prefix+"x-text"), md.Get(prefix+"x-bytes-bin")); got != `["one" "two"] ["\x00\xff"]` {
			return errors.New(got)
		}
	}
	return nil
}

func details(ctx context.Context, c client) error {
	_, err := c.unary(ctx, "Refuse", nil)
	s := status.Convert(err)
	if s.Code() != codes.PermissionDenied || s.Message() != "no: 100% ünicode\n" || len(s.Details()) != 1 {
		return fmt.Errorf("got %w", err)
	}
	if value, ok := s.Details()[0].(*wrapperspb.StringValue); !ok || value.Value != "why" {
		return fmt.Errorf("got detail %v", s.Details()[0])
	}
	return nil
}

func want(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("got %v, want %v", err, code)
	}
	return nil
}

func unimplemented(ctx context.Context, c client) error {
	_, err := c.unary(ctx, "Nope", nil)
	return want(err, codes.Unimplemented)
}

func deadline(ctx context.Context, c client) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := c.unary(ctx, "Hang", nil)
	return want(err, codes.DeadlineExceeded)
}

func cancelled(ctx context.Context, c client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.watch(ctx, "Flood", "1000")
	if err != nil {
		return err
	}
	if _, err := receive(s); err != nil {
		return err
	}
	cancel()
	for err == nil {
		_, err = receive(s)
	}
	return want(err, codes.Canceled)
}

func large(ctx context.Context, c client) error {
	message := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	answer, err := c.unary(ctx, "Plain", message)
	if err != nil {
		return err
	}
	return equal(answer, message)
}

func many(ctx context.Context, c client) error {
	var wg sync.WaitGroup
	failures := make(chan error, 500)
	for i := 0; i < 500; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			message := []byte(fmt.Sprint(i))
			answer, err := c.unary(ctx, []string{"Plain", "Later"}[i%2], message)
			if err == nil {
				err = equal(answer, message)
			}
			if err != nil {
				failures <- err
			}
		}()
	}
	wg.Wait()
	close(failures)
	return <-failures
}

func slowReader(ctx context.Context, c client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.watch(ctx, "Flood", "100000")
	if err != nil {
		return err
	}
	for i := 0; i < 100; i++ {
		message, err := receive(s)
		if err != nil || len(message) != 100_000 {
			return fmt.Errorf("%d bytes, %w", len(message), err)
		}
		if i < 5 {
			// Others go on while this one waits.
			if _, err := c.unary(ctx, "Plain", []byte("x")); err != nil {
				return err
			}
		}
	}
	return nil
}
