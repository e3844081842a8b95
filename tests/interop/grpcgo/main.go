// Command grpcgo is grpc-go as a peer for our transport, for the service test.Matrix of raw bytes
// (described in tests/runtime/rpc/matrix/service.py):
//
//	grpcgo server ADDRESS OPTIONS [CA CERT KEY]      serves it
//	grpcgo client TARGET CASE OPTIONS [CA CERT KEY]  puts a server through one case
//
// OPTIONS is JSON, see type options. An ADDRESS with a slash is a Unix socket.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
)

// options are what is other than usual; times are seconds, sizes bytes.
type options struct {
	Message     int      `json:"message"`
	Window      *int32   `json:"window"`
	Streams     *uint32  `json:"streams"`
	Age         *float64 `json:"age"`
	Keepalive   *float64 `json:"keepalive"`
	Compression bool     `json:"compression"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 3 && args[0] == "server":
		o, files, err := configured(args[2:])
		if err != nil {
			return err
		}
		return serve(args[1], o, files)
	case len(args) >= 4 && args[0] == "client":
		o, files, err := configured(args[3:])
		if err != nil {
			return err
		}
		return check(args[1], args[2], o, files)
	}
	return fmt.Errorf("usage: grpcgo server ADDRESS OPTIONS [CA CERT KEY] | grpcgo client TARGET CASE OPTIONS [CA CERT KEY]")
}

// configured reads the options and, where there are files, what TLS needs; nil without.
func configured(args []string) (options, *tls.Config, error) {
	var o options
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return o, nil, err
	}
	if len(args) != 4 {
		return o, nil, nil
	}
	ca, err := os.ReadFile(args[1])
	if err != nil {
		return o, nil, err
	}
	pair, err := tls.LoadX509KeyPair(args[2], args[3])
	if err != nil {
		return o, nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return o, &tls.Config{
		RootCAs: roots, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: "finial-test", Certificates: []tls.Certificate{pair},
	}, nil
}

// raw passes messages through as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "proto" }
