// Command grpcgo is grpc-go as a peer for our transport: `client TARGET [CA CERT KEY]` checks a
// server of ours, `server SOCKET` serves the same methods for a channel of ours to check.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) >= 3 && os.Args[1] == "client":
		err = check(os.Args[2], os.Args[3:])
	case len(os.Args) == 3 && os.Args[1] == "server":
		err = serve(os.Args[2])
	default:
		err = fmt.Errorf("usage: grpcgo client TARGET [CA CERT KEY] | grpcgo server SOCKET")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// raw passes messages through as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "proto" }
