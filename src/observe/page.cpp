// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "observe/page.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hamgam/observe.h"
#include "observe/profile.h"
#include "os/symbols.h"
#include "sched/dump.h"
#include "sched/snapshot.h"
#include "sync/lock_list.h"
#include "wait/wait_profile.h"

// Each page is made as text; a browser, which says that it accepts text/html, gets that text within
// a page. Nothing changes anything, and nothing is loaded from elsewhere.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kMostGroups = 10'000;
constexpr Nanos kSecond = 1000 * kMillisecond;

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;color:#222;background:#fff}"
    "pre{font:13px/1.4 ui-monospace,monospace;background:#f4f4f2;padding:.6rem;overflow-x:auto}"
    "table{border-collapse:collapse}td{padding:.15rem 1rem .15rem 0;vertical-align:top}"
    "nav a{margin-right:1rem}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#242424}"
    "a{color:#8bf}}";

struct Link {
  const char* path;
  const char* about;
};
constexpr Link kLinks[] = {
    {"/debug/goroutines", "all goroutines; those that do the same together"},
    {"/debug/goroutines?group=0", "each for itself"},
    {"/debug/goroutines?min_wait=60", "those that wait for a minute or longer"},
    {"/debug/locks", "who has and who waits for which lock"},
    {"/debug/scheduler", "numbers of goroutines, workers and stacks"},
    {"/debug/pprof/goroutine?debug=1", "goroutines, by where they are"},
    {"/debug/pprof/block?debug=1", "where is waited, and how long"},
    {"/debug/pprof/mutex?debug=1", "who makes others wait for locks, and how long"},
    {"/debug/pprof/goroutine", "the same for go tool pprof"},
    {"/debug/pprof/block", "the same for go tool pprof"},
    {"/debug/pprof/mutex", "the same for go tool pprof"},
};

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

bool equal_fold(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
         });
}

struct Request {
  std::string_view method;
  std::string_view path;
  std::string_view query;
  std::string_view head;

  explicit Request(std::string_view text) {
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

  // Of the head; empty: it is not there.
  [[nodiscard]] std::string_view field(std::string_view name) const noexcept {
    for (std::string_view rest = head; !rest.empty();) {
      std::size_t const end = rest.find('\n');
      std::string_view const line = rest.substr(0, end);
      std::size_t const colon = line.find(':');
      if (colon != std::string_view::npos && equal_fold(line.substr(0, colon), name)) {
        std::string_view value = line.substr(colon + 1);
        value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
        return value.substr(0, value.find_last_not_of(" \t\r") + 1);
      }
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
    return {};
  }

  [[nodiscard]] std::string_view parameter(std::string_view name,
                                           std::string_view otherwise) const noexcept {
    for (std::string_view rest = query; !rest.empty();) {
      std::size_t const end = rest.find('&');
      std::string_view const part = rest.substr(0, end);
      if (part.substr(0, part.find('=')) == name) {
        return part.size() > name.size() ? part.substr(name.size() + 1) : "";
      }
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
    return otherwise;
  }

  [[nodiscard]] bool wants_html() const noexcept {
    return field("Accept").find("text/html") != std::string_view::npos;
  }
};

// "80", "1.5" or "90s", "2m", "500ms"; seconds without a unit. False: it is none.
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

// A page as text: its paragraphs.
struct Page {
  std::string title;
  std::vector<std::string> paragraphs;
};

std::string html_of(const Page& page, const std::string& links) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>";
  out += escaped(page.title);
  out += "</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>";
  out += kStyle;
  out += "</style>\n</head>\n<body>\n";
  out +=
      "<nav><a href=\"/debug/\">Index</a> <a href=\"/debug/goroutines\">Goroutines</a> "
      "<a href=\"/debug/locks\">Locks</a> <a href=\"/debug/scheduler\">Scheduler</a></nav>\n";
  out += "<h1>" + escaped(page.title) + "</h1>\n" + links;
  for (const std::string& paragraph : page.paragraphs) {
    std::size_t const start = std::min(paragraph.find_first_not_of('\n'), paragraph.size());
    out += "<pre>" + escaped(std::string_view(paragraph).substr(start)) + "</pre>\n";
  }
  return out + "</body>\n</html>\n";
}

PageReply reply_of(const Request& request, const Page& page, const std::string& links = {}) {
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

PageReply index_page(const Request& request) {
  Page page{"Hamgam", {}};
  std::string links = "<table>\n";
  std::string text;
  for (const Link& link : kLinks) {
    std::string const path = escaped(link.path);
    links +=
        "<tr><td><a href=\"" + path + "\">" + path + "</a></td><td>" + link.about + "</td></tr>\n";
    text += std::string(link.path) + std::string(34 - std::string_view(link.path).size(), ' ') +
            link.about + "\n";
  }
  if (!request.wants_html()) {
    page.paragraphs.push_back(std::move(text));
  }
  return reply_of(request, page, links + "</table>\n");
}

Nanos wait_of(const Snapshot& snapshot, const Snapshot::Member& member) noexcept {
  return member.since == 0 ? 0 : std::max<Nanos>(0, snapshot.time - member.since);
}

PageReply goroutines_page(const Request& request) {
  Nanos least = 0;
  if (!read_time(request.parameter("min_wait", "0"), least)) {
    return refusal("400 Bad Request", "min_wait is a time, such as 90, 2m or 500ms");
  }
  Snapshot snapshot = take_snapshot(Ask::kThreads);
  std::size_t count = 0;
  for (Snapshot::Group& group : snapshot.groups) {
    if (least > 0) {
      std::erase_if(group.members,
                    [&](const auto& member) { return wait_of(snapshot, member) < least; });
    }
    count += group.members.size();
  }
  std::erase_if(snapshot.groups, [](const auto& group) { return group.members.empty(); });
  if (request.parameter("group", "1") == "0") {
    std::vector<Snapshot::Group> single;
    for (const Snapshot::Group& group : snapshot.groups) {
      for (const Snapshot::Member& member : group.members) {
        if (single.size() == kMostGroups + 1) {
          break;  // which write_snapshot tells
        }
        single.push_back(group);
        single.back().members.assign(1, member);
      }
    }
    std::sort(single.begin(), single.end(), [](const auto& a, const auto& b) {
      return a.members.front().id < b.members.front().id;
    });
    snapshot.groups = std::move(single);
  }
  Page page{std::to_string(count) + (count == 1 ? " goroutine" : " goroutines"), {}};
  if (least > 0) {
    page.title += " that wait for " + std::to_string(static_cast<double>(least) / 1e9);
    page.title.erase(page.title.size() - 3);  // milliseconds
    page.title += " s or longer";
  }
  write_snapshot(
      snapshot,
      [](void* to, std::string_view text) {
        static_cast<Page*>(to)->paragraphs.emplace_back(text);
      },
      &page, kMostGroups);
  return reply_of(request, page,
                  "<p><a href=\"/debug/goroutines?group=0\">each for itself</a>, "
                  "<a href=\"/debug/goroutines?min_wait=60\">waiting for a minute</a></p>\n");
}

std::string text_of(const Symbols::Place& place) {
  return "    " + place.function + "\n            " + place.where + "\n";
}

PageReply locks_page(const Request& request) {
  if (!are_locks_watched()) {
    return reply_of(request, {"Locks are not watched",
                              {"Set HAMGAM_DEBUG=locks in the environment of the program, or call "
                               "observe::watch_locks() in it.\n"}});
  }
  Snapshot const snapshot = take_snapshot(Ask::kNobody);
  Symbols symbols;
  std::unordered_map<std::uint64_t, std::pair<const Snapshot::Group*, Nanos>> goroutines;
  for (const Snapshot::Group& group : snapshot.groups) {
    for (const Snapshot::Member& member : group.members) {
      goroutines[member.id] = {&group, wait_of(snapshot, member)};
    }
  }
  auto const who = [&](std::uint64_t goroutine, int thread) {
    if (goroutine == 0) {
      return "thread " + std::to_string(thread);
    }
    std::string text = "goroutine " + std::to_string(goroutine);
    auto const found = goroutines.find(goroutine);
    if (found != goroutines.end() && !found->second.first->name.empty()) {
      text += " \"" + found->second.first->name + "\"";
    }
    return text;
  };
  std::vector<LockInfo> const locks = locks_in_use();
  Page page{std::to_string(locks.size()) + (locks.size() == 1 ? " lock" : " locks") +
                " that somebody has or waits for; " + std::to_string(lock_reports_told()) +
                " reports so far",
            {}};
  for (const LockInfo& lock : locks) {
    char address[32];
    std::snprintf(address, sizeof address, "%p", lock.lock);
    std::string const name = find_object(lock.lock);
    std::string text =
        std::string("lock ") + address + (name.empty() ? "" : " \"" + name + "\"") + "\n";
    for (const LockInfo::Holder& holder : lock.holders) {
      text += "  " + who(holder.goroutine, holder.thread) +
              (holder.shared ? " has it to read, since\n" : " has it, since\n");
      for (const void* const frame : holder.taken.frames) {
        const Symbols::Place* const place =
            frame != nullptr ? &symbols.at(static_cast<const char*>(frame) - 1) : nullptr;
        if (place != nullptr && place->owner != Symbols::kLibrary) {
          text += text_of(*place);
          break;
        }
      }
    }
    for (const LockInfo::Waiter& waiter : lock.waiters) {
      text += "  " + who(waiter.goroutine, waiter.thread) + " waits for it";
      auto const found = goroutines.find(waiter.goroutine);
      if (waiter.goroutine != 0 && found != goroutines.end()) {
        const Snapshot::Group& group = *found->second.first;
        text += ", for " + std::to_string(found->second.second / kSecond) + " s, at\n";
        std::size_t const first = shown_frames(group, symbols).first;
        if (first < group.frames.size()) {
          text += text_of(symbols.at(static_cast<const char*>(group.frames[first]) - 1));
        }
      } else {
        text += "\n";
      }
    }
    page.paragraphs.push_back(std::move(text));
  }
  return reply_of(request, page);
}

PageReply scheduler_page(const Request& request) {
  observe::Stats const s = observe::stats();
  std::string text;
  auto const line = [&text](std::string_view name, std::uint64_t value) {
    text += std::string(name) + std::string(20 - name.size(), ' ') + std::to_string(value) + "\n";
  };
  line("goroutines", s.goroutines);
  line("  running", s.running);
  line("  runnable", s.runnable);
  line("  waiting", s.waiting);
  line("  blocking", s.blocking);
  line("workers", s.workers);
  line("  running", s.workers_running);
  line("  asleep", s.workers_asleep);
  line("  blocked", s.workers_blocked);
  line("max_procs", s.max_procs);
  line("spawned", s.spawned);
  line("parks", s.parks);
  line("steals", s.steals);
  line("timers", s.timers);
  line("stacks", s.stacks);
  line("stacks_used", s.stacks_used);
  line("stack_bytes", s.stack_bytes);
  return reply_of(request, {"Scheduler", {text}});
}

PageReply pprof_page(const Request& request, std::string_view name) {
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
  reply.type = "application/octet-stream";
  reply.head = "Content-Disposition: attachment; filename=\"" + std::string(name) + ".pb\"\r\n";
  reply.body = profile_text(profile, observe::ProfileFormat::pprof);
  return reply;
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

PageReply answer_page(std::string_view text, bool local) {
  Request const request(text);
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
  if (path.substr(0, kPprof.size()) == kPprof) {
    return pprof_page(request, path.substr(kPprof.size()));
  }
  return refusal("404 Not Found", "see /debug/");
}

std::string page_text(const PageReply& reply, bool with_body) {
  std::string text = std::string("HTTP/1.1 ") + reply.status + "\r\nContent-Type: " + reply.type +
                     "\r\nContent-Length: " + std::to_string(reply.body.size()) + "\r\n" +
                     reply.head +
                     "Connection: close\r\nCache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\n"
                     "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                     "frame-ancestors 'none'\r\n\r\n";
  return with_body ? text + reply.body : text;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
