// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What observe::serve() answers, apart from sockets: page.cpp; and the sockets: page_server.cpp.

#include <string>
#include <string_view>
#include <system_error>

#include "hamgam/detail/config.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct PageReply {
  const char* status = "200 OK";
  std::string type = "text/plain; charset=utf-8";
  std::string head;  // more lines, each with its end
  std::string body;
  Nanos records = 0;  // the body is a trace of so long, which begins now (page_trace.h)
};

// The answer to a request whose head is whole (an empty line ends it). `local`: only this machine
// can ask, so the browser must have meant it: a name that resolves to here is refused. Throws
// std::bad_alloc.
PageReply answer_page(std::string_view request, bool local);

// Why there is no trace: 409 if somebody else is at one, else 500.
PageReply trace_refusal(const std::system_error& error);

// A whole answer to be sent, which begins with kPageBegin; without the body if it was asked for by
// HEAD.
inline constexpr std::string_view kPageBegin = "HTTP/1.1 ";
std::string page_text(const PageReply& reply, bool with_body);

}  // namespace hamgam::inline HAMGAM_ABI::detail
