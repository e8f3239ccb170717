// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/page_parts.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;color:#222;background:#fff}"
    "pre{font:13px/1.4 ui-monospace,monospace;background:#f4f4f2;padding:.6rem;overflow-x:auto}"
    "table{border-collapse:collapse}td{padding:.15rem 1rem .15rem 0;vertical-align:top}"
    "h1{font-size:1.5rem}nav a{margin-right:1rem}"
    "@media(max-width:40rem){td{display:block}td+td{padding-bottom:.6rem}}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#242424}"
    "a{color:#8bf}}";

// Cuts off what comes before the next `mark`, which goes too, or everything.
std::string_view take_part(std::string_view& rest, char mark) noexcept {
  std::size_t const size = std::min(rest.find(mark), rest.size());
  std::string_view const part = rest.substr(0, size);
  rest.remove_prefix(std::min(size + 1, rest.size()));
  return part;
}

}  // namespace

bool equal_fold(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
         });
}

PageRequest::PageRequest(std::string_view text) {
  std::string_view const line = text.substr(0, text.find_first_of("\r\n"));
  std::size_t const space = line.find(' ');
  if (space == std::string_view::npos) {
    return;
  }
  std::string_view rest = line.substr(space + 1);
  std::size_t const end = rest.find(' ');
  if (end == std::string_view::npos || rest.substr(end + 1, 7) != "HTTP/1.") {
    return;
  }
  method = line.substr(0, space);
  rest = rest.substr(0, end);
  std::size_t const mark = rest.find('?');
  path = rest.substr(0, mark);
  query = mark == std::string_view::npos ? "" : rest.substr(mark + 1);
  head = text.substr(std::min(text.size(), text.find('\n') + 1));
}

std::string_view PageRequest::field(std::string_view name) const noexcept {
  for (std::string_view rest = head; !rest.empty();) {
    std::string_view const line = take_part(rest, '\n');
    std::size_t const colon = line.find(':');
    if (colon != std::string_view::npos && equal_fold(line.substr(0, colon), name)) {
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
      return value.substr(0, value.find_last_not_of(" \t\r") + 1);
    }
  }
  return {};
}

std::string_view PageRequest::parameter(std::string_view name,
                                        std::string_view otherwise) const noexcept {
  for (std::string_view rest = query; !rest.empty();) {
    std::string_view const part = take_part(rest, '&');
    if (part.substr(0, part.find('=')) == name) {
      return part.size() > name.size() ? part.substr(name.size() + 1) : "";
    }
  }
  return otherwise;
}

bool read_time(std::string_view text, Nanos& time) noexcept {
  double number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view const unit = text.substr(static_cast<std::size_t>(end - text.data()));
  double const scale = unit.empty() || unit == "s" ? 1e9
                       : unit == "ms"              ? 1e6
                       : unit == "m"               ? 60e9
                       : unit == "h"               ? 3600e9
                                                   : 0;
  if (error != std::errc() || scale == 0 || !(number >= 0 && number < 1e6)) {
    return false;
  }
  time = static_cast<Nanos>(number * scale);
  return true;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char const c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // What no page may have in it, in names that the program gave.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return out;
}

namespace {

std::string html_of(const Page& page, const std::string& links) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>";
  out += escaped(page.title);
  out += "</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>";
  out += kStyle;
  out += "</style>\n</head>\n<body>\n";
  out +=
      "<nav><a href=\"/debug/\">Index</a> <a href=\"/debug/goroutines\">Goroutines</a> "
      "<a href=\"/debug/locks\">Locks</a> <a href=\"/debug/scheduler\">Scheduler</a> "
      "<a href=\"/debug/stacks\">Stacks</a></nav>\n";
  out += "<h1>" + escaped(page.title) + "</h1>\n" + links;
  for (const std::string& paragraph : page.paragraphs) {
    std::size_t const start = std::min(paragraph.find_first_not_of('\n'), paragraph.size());
    out += "<pre>" + escaped(std::string_view(paragraph).substr(start)) + "</pre>\n";
  }
  return out + "</body>\n</html>\n";
}

}  // namespace

PageReply reply_of(const PageRequest& request, const Page& page, const std::string& links) {
  PageReply reply;
  if (request.wants_html()) {
    reply.type = "text/html; charset=utf-8";
    reply.body = html_of(page, links);
    return reply;
  }
  reply.body = page.title + "\n";
  for (const std::string& paragraph : page.paragraphs) {
    reply.body += paragraph.empty() || paragraph.front() == '\n' ? "" : "\n";
    reply.body += paragraph;
  }
  return reply;
}

PageReply refusal(const char* status, const std::string& why) {
  PageReply reply;
  reply.status = status;
  reply.body = why + "\n";
  return reply;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
