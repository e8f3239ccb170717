// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// HTTP/1.1 for the servers in C++, by Boost.Beast's parser: what came in, and the answers to it.
// The same for ours and for Asio's, which differ in how bytes come and go.
#pragma once

#include <array>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <optional>
#include <span>
#include <string>

namespace bench {

class HttpAnswers {
 public:
  // Where the next bytes are to be put.
  std::span<char> room() { return std::span(buffer_).subspan(had_); }

  // That many were. Answers all requests that are complete now, into out(). False: that was none,
  // or a last one.
  bool take(std::size_t count) {
    had_ += count;
    std::size_t used = 0;
    while (used < had_) {
      if (!parser_) {
        parser_.emplace();
        parser_->eager(true);
        parser_->header_limit(8192);
      }
      boost::system::error_code error;
      used += parser_->put(boost::asio::const_buffer(buffer_.data() + used, had_ - used), error);
      if (error == boost::beast::http::error::need_more) break;
      if (error) return false;
      if (!parser_->is_done()) continue;
      answer(parser_->get());
      if (!parser_->keep_alive()) return false;
      parser_.reset();
    }
    std::memmove(buffer_.data(), buffer_.data() + used, had_ - used);
    had_ -= used;
    return true;
  }

  std::string& out() { return out_; }

 private:
  using Body = boost::beast::http::empty_body;

  void answer(const boost::beast::http::request<Body>& request) {
    if (request.target() != "/plaintext") {
      out_ += "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
      return;
    }
    out_ += "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nDate: ";
    out_ += date();
    out_ += "\r\n\r\nHello, World!";
  }

  const char* date() {
    const std::time_t now = std::time(nullptr);
    if (now != second_) {
      second_ = now;
      std::tm parts{};
      gmtime_r(&now, &parts);
      std::strftime(date_.data(), date_.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    }
    return date_.data();
  }

  std::array<char, 16 * 1024> buffer_;  // NOLINT: filled by reads
  std::size_t had_ = 0;
  std::optional<boost::beast::http::request_parser<Body>> parser_;
  std::string out_;
  std::time_t second_ = -1;
  std::array<char, 40> date_{};
};

}  // namespace bench
