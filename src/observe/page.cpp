// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/page.h"

#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "hamgam/observe.h"
#include "observe/page_parts.h"
#include "observe/page_trace.h"
#include "observe/profile.h"
#include "wait/wait_profile.h"

// Each page is made as text; a browser, which says that it accepts text/html, gets that text within
// a page. Nothing changes what the program does, and nothing is loaded from elsewhere.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

struct Link {
  const char* path;
  const char* about;
};
constexpr Link kLinks[] = {
    {"/debug/goroutines", "all goroutines; those that do the same together"},
    {"/debug/goroutines?group=0", "each for itself"},
    {"/debug/goroutines?min_wait=60", "those that wait for a minute or longer"},
    {"/debug/locks", "who has and who waits for which lock"},
    {"/debug/locks?format=dot", "which was taken while one had which, for Graphviz"},
    {"/debug/scheduler", "numbers of goroutines, workers and stacks; latencies"},
    {"/debug/stacks", "what stacks take, and which take the most"},
    {"/debug/trace?seconds=1", "records a second, as JSON for ui.perfetto.dev"},
    {"/debug/flight", "what the program's own trace has until now, for ui.perfetto.dev"},
    {"/debug/pprof/goroutine?debug=1", "goroutines, by where they are"},
    {"/debug/pprof/block?debug=1", "where is waited, and how long"},
    {"/debug/pprof/mutex?debug=1", "who makes others wait for locks, and how long"},
    {"/debug/pprof/goroutine", "the same for go tool pprof"},
    {"/debug/pprof/block", "the same for go tool pprof"},
    {"/debug/pprof/mutex", "the same for go tool pprof"},
};

PageReply index_page(const PageRequest& request) {
  Page page{"Hamgam", {}};
  std::string links = "<table>\n";
  std::string text;
  for (const Link& link : kLinks) {
    std::string const path = escaped(link.path);
    links.append("<tr><td><a href=\"").append(path).append("\">").append(path);
    links.append("</a></td><td>").append(link.about).append("</td></tr>\n");
    text += std::string(link.path) + std::string(34 - std::string_view(link.path).size(), ' ') +
            link.about + "\n";
  }
  if (!request.wants_html()) {
    page.paragraphs.push_back(std::move(text));
  }
  return reply_of(request, page, links + "</table>\n");
}

PageReply download(const char* type, const std::string& name, std::string body) {
  return {"200 OK", type, "Content-Disposition: attachment; filename=\"" + name + "\"\r\n",
          std::move(body)};
}

PageReply trace_page(const PageRequest& request) {
  constexpr Nanos kLongest = 60'000 * kMillisecond;
  Nanos time = 0;
  if (!read_time(request.parameter("seconds", "1"), time) || time == 0 || time > kLongest) {
    return refusal("400 Bad Request", "seconds is a time, such as 5 or 500ms; 60 s at most");
  }
  PageReply reply = download("application/json", "trace.json", {});
  reply.records = time;
  return reply;
}

PageReply flight_page(const PageRequest& request) {
  std::string_view const form = request.parameter("format", "pftrace");
  bool const packets = form == "pftrace";
  if (!packets && form != "json") {
    return refusal("400 Bad Request", "format is pftrace or json");
  }
  std::optional<std::string> trace;
  try {
    trace = flight(packets);
  } catch (const std::system_error& error) {
    return trace_refusal(error);
  }
  if (!trace.has_value()) {
    return refusal("404 Not Found",
                   "the program records none of its own, see observe::start_trace");
  }
  return download(packets ? "application/octet-stream" : "application/json",
                  "flight." + std::string(form), std::move(*trace));
}

PageReply pprof_page(const PageRequest& request, std::string_view name) {
  using observe::Profile;
  bool const goroutines = name == "goroutine";
  if (!goroutines && name != "block" && name != "mutex") {
    return refusal("404 Not Found", "profiles are goroutine, block and mutex");
  }
  std::string_view const debug = request.parameter("debug", "0");
  if (goroutines && debug != "0" && debug != "1") {
    return goroutines_page(request);
  }
  Profile const profile = goroutines        ? Profile::goroutine
                          : name == "block" ? Profile::block
                                            : Profile::mutex;
  PageReply reply;
  if (debug != "0") {
    reply.body = profile_text(profile, observe::ProfileFormat::text);
    if (!goroutines && !profiling_waits()) {
      reply.body +=
          "# nothing is noted: set HAMGAM_DEBUG=waits in the environment of the program, or call "
          "observe::profile_waits() in it\n";
    }
    return reply;
  }
  return download("application/octet-stream", std::string(name) + ".pb",
                  profile_text(profile, observe::ProfileFormat::pprof));
}

// A number or localhost: no name that somebody else made resolve to this machine, by which pages of
// his could read ours (DNS rebinding).
bool is_this_machine(std::string_view host) noexcept {
  if (host.empty() || host.front() == '[') {
    return true;
  }
  host = host.substr(0, host.rfind(':'));
  return equal_fold(host, "localhost") ||
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

PageReply trace_refusal(const std::system_error& error) {
  bool const busy = error.code() == std::errc::device_or_resource_busy;
  return refusal(busy ? "409 Conflict" : "500 Internal Server Error", error.what());
}

PageReply answer_page(std::string_view text, bool local) {
  PageRequest const request(text);
  if (request.method.empty() || request.path.substr(0, 1) != "/") {
    return refusal("400 Bad Request", "this is no request");
  }
  if (request.method != "GET" && request.method != "HEAD") {
    PageReply reply = refusal("405 Method Not Allowed", "there is only GET and HEAD");
    reply.head = "Allow: GET, HEAD\r\n";
    return reply;
  }
  if (local && !is_this_machine(request.field("Host"))) {
    return refusal("403 Forbidden", "ask by address, or for localhost");
  }
  std::string_view const path = request.path;
  constexpr std::string_view kPprof = "/debug/pprof/";
  if (path == "/debug/" || path == kPprof) {
    return index_page(request);
  }
  if (path == "/" || path == "/debug" || path == "/debug/pprof") {
    PageReply reply = refusal("302 Found", "see /debug/");
    reply.head = "Location: /debug/\r\n";
    return reply;
  }
  if (path == "/debug/goroutines") {
    return goroutines_page(request);
  }
  if (path == "/debug/locks") {
    return locks_page(request);
  }
  if (path == "/debug/scheduler") {
    return scheduler_page(request);
  }
  if (path == "/debug/stacks") {
    return stacks_page(request);
  }
  if (path == "/debug/trace") {
    return trace_page(request);
  }
  if (path == "/debug/flight") {
    return flight_page(request);
  }
  if (path.substr(0, kPprof.size()) == kPprof) {
    return pprof_page(request, path.substr(kPprof.size()));
  }
  return refusal("404 Not Found", "see /debug/");
}

std::string page_text(const PageReply& reply, bool with_body) {
  std::string text = std::string(kPageBegin) + reply.status + "\r\nContent-Type: " + reply.type +
                     "\r\nContent-Length: " + std::to_string(reply.body.size()) + "\r\n" +
                     reply.head +
                     "Connection: close\r\nCache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\n"
                     "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                     "frame-ancestors 'none'\r\n\r\n";
  return with_body ? text + reply.body : text;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
