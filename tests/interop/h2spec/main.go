// Command h2spec runs every case of h2spec, strict ones too, against a server and prints one JSON
// object a case: `h2spec PORT` over plain TCP, `h2spec PORT tls` over TLS.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

type result struct {
	Case    string `json:"case"`
	Title   string `json:"title"`
	Outcome string `json:"outcome"`
	Why     string `json:"why,omitempty"`
}

func main() {
	port, err := 0, error(nil)
	if len(os.Args) >= 2 {
		port, err = strconv.Atoi(os.Args[1])
	}
	if len(os.Args) < 2 || len(os.Args) > 3 || err != nil {
		fmt.Fprintln(os.Stderr, "usage: h2spec PORT [tls]")
		os.Exit(2)
	}
	c := &config.Config{
		Host: "127.0.0.1", Port: port, Path: "/", Timeout: 3 * time.Second, MaxHeaderLen: 4000,
		Strict: true, TLS: len(os.Args) == 3, Insecure: true,
	}
	out := json.NewEncoder(os.Stdout)
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		if err := walk(c, group, out); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func walk(c *config.Config, group *spec.TestGroup, out *json.Encoder) error {
	for i, one := range append(group.Tests, group.StrictTests...) {
		conn, err := spec.Dial(c)
		if err != nil {
			return fmt.Errorf("no connection for %s/%d: %w", group.ID(), i+1, err)
		}
		err = one.Run(c, conn)
		conn.Close()
		said := result{Case: fmt.Sprintf("%s/%d", group.ID(), i+1), Title: one.Desc, Outcome: "passed"}
		if errors.Is(err, spec.ErrSkipped) {
			said.Outcome = "skipped"
		} else if err != nil {
			said.Outcome, said.Why = "failed", err.Error()
		}
		if err := out.Encode(said); err != nil {
			return err
		}
	}
	for _, below := range group.Groups {
		if err := walk(c, below, out); err != nil {
			return err
		}
	}
	return nil
}
