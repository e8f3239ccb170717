// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The server of bench/net_server.cpp on net and net/http.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	kind, computing := "echo", 0
	if len(os.Args) > 1 {
		kind = os.Args[1]
	}
	if len(os.Args) > 2 {
		computing, _ = strconv.Atoi(os.Args[2])
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for i := 0; i < computing; i++ {
		go compute()
	}
	switch kind {
	case "http":
		panic(http.Serve(listener, http.HandlerFunc(plaintext)))
	case "redis":
		serve(listener, redis)
	default:
		serve(listener, echo)
	}
}

var sink uint64

// Never ends, and never waits.
func compute() {
	state := uint64(1)
	for state != 0 {
		state = state*6364136223846793005 + 1442695040888963407
	}
	sink = state
}

func serve(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go handle(conn)
	}
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 1024)
	for {
		size, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:size]); err != nil {
			return
		}
	}
}

var hello = []byte("Hello, World!")

// net/http adds the date.
func plaintext(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/plaintext" {
		http.NotFound(w, r)
		return
	}
	w.Header()["Content-Type"] = []string{"text/plain"}
	w.Header()["Content-Length"] = []string{"13"}
	w.Write(hello)
}

func redis(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		name, err := command(in)
		if err != nil {
			return
		}
		if name == "PING" {
			out.WriteString("+PONG\r\n")
		} else {
			out.WriteString("-ERR unknown command\r\n")
		}
		if in.Buffered() == 0 {
			if out.Flush() != nil {
				return
			}
		}
	}
}

// The first of an array of bulk strings.
func command(in *bufio.Reader) (string, error) {
	count, err := number(in, "*")
	name := ""
	for i := 0; i < count && err == nil; i++ {
		var size int
		if size, err = number(in, "$"); err != nil {
			break
		}
		var text []byte
		if text, err = in.Peek(size + 2); err != nil {
			break
		}
		if i == 0 {
			name = string(text[:size])
		}
		_, err = in.Discard(size + 2)
	}
	return name, err
}

func number(in *bufio.Reader, mark string) (int, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	text, found := strings.CutPrefix(strings.TrimRight(string(line), "\r\n"), mark)
	if !found {
		return 0, io.ErrUnexpectedEOF
	}
	return strconv.Atoi(text)
}
