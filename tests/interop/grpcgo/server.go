package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func serve(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.MaxRecvMsgSize(64<<20),
		grpc.InitialWindowSize(65535), grpc.InitialConnWindowSize(65535))
	streams := map[string]func(grpc.ServerStream) error{
		"Plain": plain, "Metadata": echoMetadata, "Refuse": refuse, "Hang": hang,
		"Count": count, "Flood": flood, "Total": total, "Chat": chat,
	}
	desc := grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil)}
	for name, handler := range streams {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return handler(s) },
		})
	}
	server.RegisterService(&desc, struct{}{})
	fmt.Println("ready")
	return server.Serve(listener)
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

func refuse(s grpc.ServerStream) error {
	refusal, err := status.New(codes.PermissionDenied, "no: 100% ünicode\n").WithDetails(wrapperspb.String("why"))
	if err != nil {
		return err
	}
	return refusal.Err()
}

func hang(s grpc.ServerStream) error {
	<-s.Context().Done()
	return context.Cause(s.Context())
}

func count(s grpc.ServerStream) error {
	message, err := read(s)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(message))
	for i := 0; i < n; i++ {
		number := []byte(strconv.Itoa(i))
		if err := s.SendMsg(&number); err != nil {
			return err
		}
	}
	return nil
}

func flood(s grpc.ServerStream) error {
	message, err := read(s)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(message))
	block := make([]byte, n)
	for {
		if err := s.SendMsg(&block); err != nil {
			return err
		}
	}
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
