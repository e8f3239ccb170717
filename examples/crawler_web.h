// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What crawler.cpp crawls: a server on the loopback with a small web of its own. And what both need
// of HTTP.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

inline constexpr std::string_view kHttp = "http://";

// "http://host" of a URL.
inline std::string host_of(std::string_view url) {
  return std::string(url.substr(0, url.find('/', kHttp.size())));
}

inline void write(const hamgam::net::TcpConn& conn, std::string_view text) {
  conn.write_all(std::as_bytes(std::span(text)));
}

// What comes next, at most to the end of the stream; nothing: that was it.
inline std::string read(const hamgam::net::TcpConn& conn, const hamgam::Context& ctx) {
  std::array<char, 4096> buffer{};
  const auto size = conn.read_some(std::as_writable_bytes(std::span(buffer)), ctx.stop_token());
  return size ? std::string(buffer.data(), *size) : throw std::system_error(ctx.err());
}

// With broken links, circles, a page that is busy at first and one that never answers.
class Web {
 public:
  [[nodiscard]] std::string address() const { return listener_.address().to_string(); }
  void close() const { listener_.close(); }
  // Of one host, at the same time.
  [[nodiscard]] int most_at_once() { return load_.lock()->most; }

  void serve() {
    hamgam::WaitGroup connections;
    std::error_code closed;
    while (const hamgam::net::TcpConn conn = listener_.accept(closed)) {
      connections.go([this, conn] {
        try {
          answer(conn);
        } catch (const std::system_error&) {  // the client has gone
        }
      });
    }
    connections.wait();
  }

 private:
  void answer(const hamgam::net::TcpConn& conn) {
    std::string request;
    while (!request.ends_with("\r\n\r\n")) {
      const std::string more = read(conn, hamgam::Context::background());
      if (more.empty()) {
        return;
      }
      request += more;
    }
    const std::string url = request.substr(4, request.find(' ', 4) - 4);
    if (url.ends_with("/tarpit")) {
      conn.wait_readable();  // until the client gives up
      return;
    }
    const std::string host = host_of(url);
    load_.with([&](Load& load) { load.most = std::max(load.most, ++load.now[host]); });
    hamgam::sleep(std::chrono::microseconds(200));  // the work
    load_.with([&](Load& load) { --load.now[host]; });
    const auto page = kPages.find(url);
    if (url.ends_with("/news") && news_asked_.add(1) == 1) {
      write(conn, "HTTP/1.0 503 Service Unavailable\r\n\r\n");
    } else if (page == kPages.end()) {
      write(conn, "HTTP/1.0 404 Not Found\r\n\r\n");
    } else {
      write(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + page->second);
    }
  }

  static inline const std::map<std::string, std::string> kPages = {
      {"http://tea.test/", R"(<a href="/news">, <a href="/about">, <a href="http://dates.test/">)"},
      {"http://tea.test/about", R"(<a href="/">, <a href="/gone">, <a href="mailto:us@tea.test">)"},
      {"http://tea.test/news", R"(<a href="/news/1">, <a href="/news/2">)"},
      {"http://tea.test/news/1", R"(<a href="/news/2">)"},
      {"http://tea.test/news/2", R"(<a href="/news/1">)"},
      {"http://dates.test/", R"(<a href="/bam">, <a href="/shiraz">, <a href="http://tea.test/">)"},
      {"http://dates.test/bam", R"(<a href="/">, <a href="/shiraz">)"},
      {"http://dates.test/shiraz", R"(<a href="/">, <a href="http://tea.test/gone">)"},
  };
  struct Load {
    std::map<std::string, int> now;
    int most = 0;
  };

  hamgam::net::TcpListener listener_ = hamgam::net::TcpListener::bind("127.0.0.1:0");
  hamgam::Guarded<Load> load_;
  hamgam::Atomic<int> news_asked_;
};
