// Command gospiffe is a workload on go-spiffe's own sources: what works here works for the
// programs that use that library. It prints one JSON line per step and exits 1 at the first failure.
//
//	gospiffe SOCKET AUDIENCE
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func check(step string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", step, err)
		os.Exit(1)
	}
}

func say(step string, fields map[string]any) {
	fields["step"] = step
	line, err := json.Marshal(fields)
	check(step, err)
	fmt.Println(string(line))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+os.Args[1]))
	check("client", err)
	defer client.Close()
	audience := os.Args[2]

	x509Context, err := client.FetchX509Context(ctx)
	check("x509", err)
	svid := x509Context.DefaultSVID()
	id, _, err := x509svid.Verify(svid.Certificates, x509Context.Bundles)
	check("x509 verify", err)
	say("x509", map[string]any{"id": id.String(), "svids": len(x509Context.SVIDs)})

	bundles, err := client.FetchX509Bundles(ctx)
	check("x509 bundles", err)
	say("x509_bundles", map[string]any{"count": bundles.Len()})

	token, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	check("jwt", err)
	jwtBundles, err := client.FetchJWTBundles(ctx)
	check("jwt bundles", err)
	parsed, err := jwtsvid.ParseAndValidate(token.Marshal(), jwtBundles, []string{audience})
	check("jwt verify", err)
	say("jwt", map[string]any{"id": parsed.ID.String(), "audience": parsed.Audience})

	validated, err := client.ValidateJWTSVID(ctx, token.Marshal(), audience)
	check("validate", err)
	_, err = client.ValidateJWTSVID(ctx, token.Marshal(), "another audience")
	say("validate", map[string]any{"id": validated.ID.String(), "other_audience_refused": err != nil})

	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(client))
	check("source", err)
	defer source.Close()
	say("mtls", map[string]any{"peer": handshake(source, svid)})
}

// handshake opens mutual TLS with itself and returns the peer's SPIFFE ID as the client sees it.
func handshake(source *workloadapi.X509Source, svid *x509svid.SVID) string {
	member := tlsconfig.AuthorizeMemberOf(svid.ID.TrustDomain())
	listener, err := tls.Listen("tcp", "127.0.0.1:0", tlsconfig.MTLSServerConfig(source, source, member))
	check("listen", err)
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		check("accept", err)
		fmt.Fprintln(conn, "hello")
		conn.Close()
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(svid.ID)))
	check("dial", err)
	defer conn.Close()
	_, err = bufio.NewReader(conn).ReadString('\n')
	check("read", err)
	return conn.ConnectionState().PeerCertificates[0].URIs[0].String()
}
