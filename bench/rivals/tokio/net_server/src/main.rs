// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

//! The server of bench/net_server.cpp on tokio and hyper. What computes runs in spawn_blocking:
//! tokio preempts nobody.

use std::convert::Infallible;
use std::env;
use std::hint::black_box;
use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let kind = arguments.next().unwrap_or("echo".into());
    let computing: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let workers = env::var("HAMGAM_PROCS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    for _ in 0..computing {
        runtime.spawn_blocking(compute);
    }
    runtime.block_on(async { runtime.spawn(serve(kind)).await? })
}

/// Never ends, and never waits.
fn compute() {
    let mut state: u64 = 1;
    loop {
        state =
            black_box(state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    }
}

async fn serve(kind: String) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match kind.as_str() {
            "http" => drop(tokio::spawn(http(stream))),
            "redis" => drop(tokio::spawn(redis(stream))),
            _ => drop(tokio::spawn(echo(stream))),
        }
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..size]).await?;
    }
}

/// hyper adds the length and the date.
async fn plaintext(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/plaintext" {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello, World!")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn http(stream: TcpStream) -> Result<(), hyper::Error> {
    http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service_fn(plaintext))
        .await
}

async fn redis(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut had = 0;
    let mut out = Vec::new();
    loop {
        let size = stream.read(&mut buffer[had..]).await?;
        if size == 0 {
            return Ok(());
        }
        had += size;
        let mut used = 0;
        while let Some((name, size)) = command(&buffer[used..had])? {
            out.extend_from_slice(if name == b"PING" { b"+PONG\r\n" } else { b"-ERR unknown\r\n" });
            used += size;
        }
        buffer.copy_within(used..had, 0);
        had -= used;
        stream.write_all(&out).await?;
        out.clear();
    }
}

/// The first of an array of bulk strings, and how many bytes it took; None: more is needed.
fn command(all: &[u8]) -> io::Result<Option<(&[u8], usize)>> {
    let Some((count, mut at)) = number(all, b'*')? else { return Ok(None) };
    let mut name: &[u8] = &[];
    for i in 0..count {
        let Some((size, used)) = number(&all[at..], b'$')? else { return Ok(None) };
        at += used;
        if all.len() < at + size + 2 {
            return Ok(None);
        }
        if i == 0 {
            name = &all[at..at + size];
        }
        at += size + 2;
    }
    Ok(Some((name, at)))
}

fn number(text: &[u8], mark: u8) -> io::Result<Option<(usize, usize)>> {
    let Some(first) = text.first() else { return Ok(None) };
    let Some(end) = text.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let digits = std::str::from_utf8(&text[1..end]).ok().and_then(|digits| digits.parse().ok());
    match digits {
        Some(value) if *first == mark => Ok(Some((value, end + 2))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
