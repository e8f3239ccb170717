// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"
#include "support/child.h"
#include "support/pprof.h"
#include "support/scale.h"
#include "support/trace.h"
#include "support/until.h"

// Pages about the program: what they say, and that nobody who asks can hurt it.

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)
namespace {
std::atomic<bool> g_lookups_end{true};  // else they take for ever, but on threads that may
std::atomic<int> g_lookups{0};          // that do
thread_local bool t_looks_up = false;
}  // namespace

extern "C" int dladdr1(const void* address, Dl_info* info, void** extra, int flags) noexcept {
  static auto* const kReal = reinterpret_cast<decltype(&dladdr1)>(dlsym(RTLD_NEXT, "dladdr1"));
  while (!g_lookups_end && !t_looks_up) {
    ++g_lookups;
    pause();
  }
  return kReal(address, info, extra, flags);
}
#endif

namespace hamgam {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// A plain blocking socket: no worker is needed to ask.
class Client {
 public:
  explicit Client(const std::string& address)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    timeval const limit{60, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool send(const std::string& text) const {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }
  void say_no_more() const { (void)shutdown(fd_, SHUT_WR); }
  [[nodiscard]] bool answers() const {
    char byte;
    return recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }
  // Until it is closed.
  [[nodiscard]] std::string rest() const {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = recv(fd_, buffer, sizeof buffer, 0)) > 0;) {
      all.append(buffer, static_cast<std::size_t>(got));
    }
    return all;
  }
  [[nodiscard]] bool first_byte() const {
    char byte;
    return recv(fd_, &byte, 1, MSG_PEEK) == 1;
  }

 private:
  int const fd_;
  bool connected_;
};

struct Answer {
  std::string status;
  std::string head;
  std::string body;
};

Answer answer_to(const std::string& address, const std::string& request) {
  Client const client(address);
  EXPECT_TRUE(client.connected());
  EXPECT_TRUE(client.send(request));
  std::string const text = client.rest();
  std::size_t const line = std::min(text.find("\r\n"), text.size());
  std::size_t const end = std::min(text.find("\r\n\r\n"), text.size());
  std::size_t const body = std::min(end + 4, text.size());
  return {text.substr(0, line), text.substr(0, end), text.substr(body)};
}

Answer get(const observe::PageServer& pages, const std::string& path,
           const std::string& head = {}) {
  return answer_to(pages.address(), "GET " + path + " HTTP/1.1\r\nHost: " + pages.address() +
                                        "\r\n" + head + "\r\n");
}

bool is_in(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Pages, index_and_ways_to_it) {
  auto const pages = observe::serve(":0");
  EXPECT_EQ(pages.address().rfind("127.0.0.1:", 0), 0U) << pages.address();
  Answer const text = get(pages, "/debug/");
  EXPECT_EQ(text.status, "HTTP/1.1 200 OK");
  EXPECT_TRUE(is_in(text.head, "Content-Type: text/plain")) << text.head;
  EXPECT_TRUE(is_in(text.head, "Content-Length: " + std::to_string(text.body.size()))) << text.head;
  EXPECT_TRUE(is_in(text.body, "/debug/goroutines ")) << text.body;
  Answer const html = get(pages, "/debug/", "Accept: text/html,*/*\r\n");
  EXPECT_TRUE(is_in(html.head, "Content-Type: text/html")) << html.head;
  EXPECT_TRUE(is_in(html.body, "<a href=\"/debug/locks\">")) << html.body;
  for (const char* path : {"/", "/debug", "/debug/pprof"}) {
    Answer const moved = get(pages, path);
    EXPECT_EQ(moved.status, "HTTP/1.1 302 Found") << path;
    EXPECT_TRUE(is_in(moved.head, "Location: /debug/")) << path;
  }
  EXPECT_EQ(get(pages, "/etc/passwd").status, "HTTP/1.1 404 Not Found");
  EXPECT_EQ(get(pages, "/debug/pprof/heap").status, "HTTP/1.1 404 Not Found");
  Answer const head =
      answer_to(pages.address(), "HEAD /debug/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(head.status, "HTTP/1.1 200 OK");
  EXPECT_EQ(head.body, "");
}

TEST(Pages, goroutines) {
  auto const pages = observe::serve(":0");
  auto const chan = make_chan<int>();
  WaitGroup all;
  for (int i = 0; i < 12; ++i) {
    all.go({.name = "<waits>"}, [&] { EXPECT_FALSE(chan.recv().has_value()); });
  }
  test::until([] { return test::count_waiting("chan receive") == 12; });
  std::string const grouped = get(pages, "/debug/goroutines").body;
  EXPECT_TRUE(is_in(grouped, "(12 in all) [chan receive]: <waits>\n")) << grouped;
  std::string const single = get(pages, "/debug/goroutines?group=0").body;
  EXPECT_FALSE(is_in(single, "in all")) << single;
  EXPECT_TRUE(is_in(single, " [chan receive]: <waits>\n")) << single;
  std::string const html = get(pages, "/debug/goroutines", "accept: text/html\r\n").body;
  EXPECT_TRUE(is_in(html, "[chan receive]: &lt;waits&gt;\n")) << html;
  EXPECT_FALSE(is_in(html, "<waits>")) << html;
  std::string const old = get(pages, "/debug/goroutines?min_wait=1h").body;
  EXPECT_EQ(old, "0 goroutines that wait for 3600.000 s or longer\n");
  std::string waiting;
  EXPECT_TRUE(test::comes_true([&] {
    waiting = get(pages, "/debug/goroutines?min_wait=50ms").body;
    return is_in(waiting, "(12 in all) [chan receive]") || !test::stacks_are_seen();
  })) << waiting;
  EXPECT_EQ(get(pages, "/debug/goroutines?min_wait=soon").status, "HTTP/1.1 400 Bad Request");
  EXPECT_TRUE(is_in(get(pages, "/debug/pprof/goroutine?debug=2").body, "<waits>"));
  chan.close();
  all.wait();
}

HAMGAM_TEST_FRAME void has_the_lock(Mutex& mutex, const Chan<int>& done) {
  mutex.lock();
  (void)done.recv();
  mutex.unlock();
}

TEST(Pages, locks_that_are_not_watched) {
  auto const pages = observe::serve(":0");
  EXPECT_TRUE(is_in(get(pages, "/debug/locks").body, "Locks are not watched"));
}

TEST(Pages, locks) {
  auto const child = test::in_child(
      [] {
        auto const pages = observe::serve(":0");
        static Mutex cellar;
        auto const done = make_chan<int>();
        WaitGroup all;
        all.go({.name = "owner"}, [&] { has_the_lock(cellar, done); });
        test::await_waiting("owner", "chan receive");
        all.go({.name = "guest"}, [&] { std::lock_guard const guard(cellar); });
        test::await_waiting("guest", "sync.Mutex.Lock");
        std::string page;
        auto const shows = [&] {
          page = get(pages, "/debug/locks").body;
          return is_in(page, "cellar\"\n") && is_in(page, " \"owner\" has it, since\n") &&
                 is_in(page, "has_the_lock") &&
                 is_in(page, " \"guest\" waits for it, for 0 s, at") && !is_in(page, "std::");
        };
        EXPECT_TRUE(test::comes_true(shows)) << page;
        done.send(1);
        all.wait();
        page = get(pages, "/debug/locks").body;
        EXPECT_TRUE(is_in(page, "0 locks that somebody has or waits for; 0 reports so far\n"));
        std::fputs(page.c_str(), stderr);
        std::_Exit(testing::Test::HasFailure() ? 1 : 0);
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.error;
}

HAMGAM_TEST_FRAME void takes_both(Mutex& first, Mutex& second) {
  std::lock_guard const one(first);
  std::lock_guard const other(second);
}

TEST(Pages, orders_of_locks) {
  auto const child = test::in_child(
      [] {
        auto const pages = observe::serve(":0");
        static Mutex cellar;
        static Mutex attic;
        static Mutex loft;
        takes_both(cellar, attic);
        WaitGroup all;
        all.go([] {
          std::lock_guard const one(attic);
          std::lock_guard const other(loft);
        });
        all.wait();
        Answer const answer = get(pages, "/debug/locks?format=dot");
        EXPECT_TRUE(is_in(answer.head, "Content-Type: text/vnd.graphviz")) << answer.head;
        EXPECT_EQ(answer.body.rfind("digraph locks {\n", 0), 0U);
        std::size_t const from = answer.body.find("cellar\\\"\" -> ");
        EXPECT_LT(from, answer.body.find("attic\\\"\" [label=\"")) << answer.body;
        EXPECT_TRUE(is_in(answer.body, "takes_both")) << answer.body;
        EXPECT_FALSE(is_in(answer.body, "LockOrder")) << answer.body;
        std::fputs(answer.body.c_str(), stderr);
        std::_Exit(testing::Test::HasFailure() ? 1 : 0);
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.error;
}

TEST(Pages, profiles) {
  observe::profile_waits();
  auto const pages = observe::serve(":0");
  Mutex mutex;
  {
    WaitGroup all;
    std::unique_lock lock(mutex);
    all.go([&] { std::lock_guard const guard(mutex); });
    test::until([] { return test::count_waiting("sync.Mutex.Lock") == 1; });
    lock.unlock();
    all.wait();
  }
  observe::profile_waits(false);
  for (const char* name : {"mutex", "block", "goroutine"}) {
    Answer const answer = get(pages, std::string("/debug/pprof/") + name);
    EXPECT_TRUE(is_in(answer.head, "application/octet-stream")) << answer.head;
    EXPECT_FALSE(test::read_pprof(answer.body).types.empty()) << name;
  }
  EXPECT_GE(test::read_pprof(get(pages, "/debug/pprof/mutex").body).samples.size(), 1U);
  EXPECT_TRUE(is_in(get(pages, "/debug/pprof/mutex?debug=1").body, "--- mutex:\n"));
  if (!test::output_of("command -v go").empty() && !test::emulated()) {
    std::string const url = "http://" + pages.address() + "/debug/pprof/mutex";
    std::string const file = testing::TempDir() + "hamgam_pprof" + std::to_string(getpid());
    std::string const top = test::output_of("PPROF_TMPDIR=" + file + " go tool pprof -top " + url);
    EXPECT_TRUE(is_in(top, "Type: delay")) << top;
    (void)test::output_of("rm -r " + file);
  }
}

TEST(Pages, scheduler) {
  auto const pages = observe::serve(":0");
  std::string page = get(pages, "/debug/scheduler").body;
  EXPECT_TRUE(is_in(page, "\ngoroutines          ")) << page;
  EXPECT_TRUE(is_in(page, "\nlock waits: ")) << page;
  observe::profile_waits();
  WaitGroup all;
  all.go([] {});
  all.wait();
  observe::profile_waits(false);
  page = get(pages, "/debug/scheduler").body;
  EXPECT_TRUE(is_in(page, " starts and wake-ups until they ran; half took ")) << page;
  EXPECT_TRUE(is_in(page, "  #")) << page;
}

HAMGAM_TEST_FRAME void goes_deep(const Chan<int>& done) {
  volatile char much[100 * 1024];
  for (std::size_t i = 0; i < sizeof much; i += 1024) {
    much[i] = 1;
  }
  (void)done.recv();
}

TEST(Pages, stacks) {
  auto const pages = observe::serve(":0");
  auto const done = make_chan<int>();
  WaitGroup all;
  all.go({.name = "<deep>"}, [&] { goes_deep(done); });
  all.go({.name = "flat\n\x1b[2J"}, [&] { (void)done.recv(); });
  test::until([] { return test::count_waiting("chan receive") == 2; });
  std::string const page = get(pages, "/debug/stacks").body;
  EXPECT_EQ(page.rfind("2 stacks that goroutines have\n", 0), 0U) << page;
  std::size_t const name = page.find(" \"<deep>\"");
  ASSERT_NE(name, std::string::npos) << page;
  if (!test::emulated()) {
    EXPECT_GE(std::stoi(page.substr(page.rfind('\n', name))), 100) << page;  // KiB
  }
  EXPECT_TRUE(is_in(page, " \"flat??[2J\"")) << page;
  done.close();
  all.wait();
}

bool a_trace_is_on() {
  std::string const file = testing::TempDir() + "hamgam_page_trace" + std::to_string(getpid());
  bool on = false;
  try {
    observe::start_trace(file);
    observe::stop_trace();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::device_or_resource_busy);
    on = true;
  }
  (void)std::remove(file.c_str());
  return on;
}

TEST(Pages, trace) {
  auto const pages = observe::serve(":0");
  std::atomic<bool> over{false};
  WaitGroup all;
  all.go({.name = "<baker>"}, [&] {
    while (!over) {
      sleep(1ms);
    }
  });
  Answer answer;
  EXPECT_TRUE(test::comes_true([&] {
    answer = get(pages, "/debug/trace?seconds=50ms", "Accept: text/html\r\n");
    return is_in(answer.body, "<baker>");
  })) << answer.body;
  over = true;
  all.wait();
  EXPECT_EQ(answer.status, "HTTP/1.1 200 OK");
  EXPECT_TRUE(is_in(answer.head, "Content-Type: application/json")) << answer.head;
  EXPECT_TRUE(is_in(answer.head, "filename=\"trace.json\"")) << answer.head;
  bool failed = false;
  (void)test::Json::parse(answer.body, failed);
  EXPECT_FALSE(failed);
  EXPECT_FALSE(a_trace_is_on());
  for (const char* time : {"0", "soon", "61", "-1", ""}) {
    EXPECT_EQ(get(pages, std::string("/debug/trace?seconds=") + time).status,
              "HTTP/1.1 400 Bad Request")
        << time;
  }
}

// Begins a trace of a minute. Others need not wait for it.
std::unique_ptr<Client> begin_trace(const observe::PageServer& pages,
                                    const std::string& seconds = "60") {
  auto client = std::make_unique<Client>(pages.address());
  EXPECT_TRUE(client->send("GET /debug/trace?seconds=" + seconds + " HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(get(pages, "/debug/").status, "HTTP/1.1 200 OK");  // which is read with it, or later
  EXPECT_EQ(get(pages, "/debug/trace?seconds=1ms").status, "HTTP/1.1 409 Conflict");
  return client;
}

// The page's own trace is none of the program's.
TEST(Pages, no_flight) {
  auto const pages = observe::serve(":0");
  EXPECT_EQ(get(pages, "/debug/flight").status, "HTTP/1.1 404 Not Found");
  auto const client = begin_trace(pages);
  EXPECT_EQ(get(pages, "/debug/flight").status, "HTTP/1.1 404 Not Found");
}

test::Trace read_flight(const Answer& answer, const std::string& form) {
  EXPECT_EQ(answer.status, "HTTP/1.1 200 OK") << answer.body;
  EXPECT_TRUE(is_in(answer.head, "filename=\"flight." + form + "\"")) << answer.head;
  std::string const file =
      testing::TempDir() + "hamgam_flight" + std::to_string(getpid()) + "." + form;
  std::ofstream(file) << answer.body;
  test::Trace trace = test::read_trace(file);
  (void)std::remove(file.c_str());
  return trace;
}

TEST(Pages, flight) {
  auto const pages = observe::serve(":0");
  observe::start_trace("");
  WaitGroup all;
  all.go({.name = "pilot"}, [] { yield(); });
  all.wait();
  for (const char* form : {"pftrace", "json"}) {
    Answer const answer = get(pages, std::string("/debug/flight?format=") + form);
    EXPECT_FALSE(read_flight(answer, form).named("pilot").empty()) << form;
  }
  EXPECT_FALSE(read_flight(get(pages, "/debug/flight"), "pftrace").named("pilot").empty());
  EXPECT_EQ(get(pages, "/debug/flight?format=svg").status, "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(
      answer_to(pages.address(), "HEAD /debug/flight HTTP/1.1\r\nHost: localhost\r\n\r\n").status,
      "HTTP/1.1 200 OK");
  EXPECT_TRUE(a_trace_is_on());
  observe::stop_trace();
  EXPECT_EQ(get(pages, "/debug/flight").status, "HTTP/1.1 404 Not Found");
}

// A page is not for gigabytes: it has the newest of them.
TEST(Pages, flight_of_a_long_trace) {
  constexpr unsigned kMost = 262'144;
  auto const pages = observe::serve(":0");
  observe::start_trace("");
  WaitGroup all;
  all.go({.name = "pilot"}, [] {
    for (unsigned i = 0; i < kMost; ++i) {
      observe::Region const region("cruise");
    }
    observe::Region const region("landing");
  });
  all.wait();
  test::Trace const trace = read_flight(get(pages, "/debug/flight"), "pftrace");
  observe::stop_trace();
  EXPECT_GE(trace.records + trace.lost, 2 * kMost);
  EXPECT_GE(trace.records, kMost / 2);
  EXPECT_LE(trace.records, kMost + kMost / 2);  // and of each worker some
  EXPECT_EQ(trace.named("landing", 2).size(), 1U);
}

// What is there of each track follows one another, whatever is taken away meanwhile.
TEST(Pages, flight_beside_busy_goroutines) {
  auto const pages = observe::serve(":0");
  observe::start_trace("", {.memory = std::size_t{16} << 20});
  std::atomic<bool> over{false};
  WaitGroup all;
  for (int i = 0; i < 2; ++i) {
    all.go({.name = "pilot"}, [&] {
      while (!over) {
        observe::Region const region("cruise");
      }
    });
  }
  EXPECT_TRUE(test::comes_true([&] { return get(pages, "/debug/flight").body.size() > 100'000; }));
  test::Trace const trace = read_flight(get(pages, "/debug/flight"), "pftrace");
  over = true;
  all.wait();
  observe::stop_trace();
  EXPECT_GT(trace.records + trace.lost, 10'000U);
}

TEST(Pages, one_trace_at_a_time) {
  auto pages = observe::serve(":0");
  begin_trace(pages) = nullptr;
  EXPECT_TRUE(test::comes_true([] { return !a_trace_is_on(); }));  // who asked has gone
  std::string const file = testing::TempDir() + "hamgam_pages" + std::to_string(getpid());
  observe::start_trace(file);
  EXPECT_EQ(get(pages, "/debug/trace?seconds=1ms").status, "HTTP/1.1 409 Conflict");
  EXPECT_TRUE(a_trace_is_on());
  observe::stop_trace();
  (void)std::remove(file.c_str());
  auto const stopped = begin_trace(pages);
  observe::stop_trace();  // by the program, whose own is left alone
  observe::start_trace(file);
  pages.stop();
  EXPECT_EQ(stopped->rest(), "");
  EXPECT_TRUE(a_trace_is_on());
  observe::stop_trace();
  (void)std::remove(file.c_str());
  pages = observe::serve(":0");
  auto const left = begin_trace(pages);
  pages.stop();
  EXPECT_FALSE(a_trace_is_on());
}

// What the program could not write is not the pages' to give up.
TEST(Pages, no_trace_while_the_programs_is_not_written) {
  auto const pages = observe::serve(":0");
  observe::start_trace("/dev/full");
  EXPECT_THROW(observe::stop_trace(), std::system_error);
  Answer const answer = get(pages, "/debug/trace?seconds=1ms");
  EXPECT_EQ(answer.status, "HTTP/1.1 409 Conflict");
  EXPECT_TRUE(is_in(answer.body, "/dev/full")) << answer.body;
  EXPECT_THROW(observe::stop_trace(), std::system_error);  // it is there still
  EXPECT_FALSE(a_trace_is_on());                           // which gives it up
}

// Nor is a page's, that could not be written, the program's.
TEST(Pages, a_trace_that_cannot_be_written) {
  auto const child = test::in_child([] {
    auto const pages = observe::serve(":0");
    (void)std::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{16, 16};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    Client const client(pages.address());
    EXPECT_TRUE(client.send("GET /debug/trace?seconds=50ms HTTP/1.0\r\n\r\n"));
    std::string const text = client.rest();
    bool good = is_in(text, "500 Internal Server Error") && is_in(text, "File too large");
    try {
      observe::stop_trace();  // there is none
    } catch (const std::system_error&) {
      good = false;
    }
    std::exit(good ? 0 : 3);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
  EXPECT_EQ(child.error, "");
}

// The program's stop of a page's trace fails: the page does not take that for written.
TEST(Pages, a_trace_that_the_program_cannot_write) {
  auto const child = test::in_child([] {
    auto const pages = observe::serve(":0");
    (void)std::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{16, 16};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    auto const client = begin_trace(pages, "1");
    int failures = 0;
    while (!client->answers()) {
      try {
        observe::stop_trace();
      } catch (const std::system_error&) {
        ++failures;
      }
      std::this_thread::sleep_for(1ms);  // the page only tries to have the trace
    }
    bool const good = is_in(client->rest(), "500 Internal Server Error") && failures > 0;
    std::exit(good ? 0 : 3);
  });
  EXPECT_TRUE(child.succeeded()) << child.error;
}

// Who waits for a reader, with a trace in its hands, holds up no page, nor the end of the pages.
TEST(Pages, answered_while_the_program_writes_a_trace) {
  std::string const file = testing::TempDir() + "hamgam_pages_pipe" + std::to_string(getpid());
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  auto pages = observe::serve(":0");
  auto const left = begin_trace(pages);
  WaitGroup group;
  group.go([] {
    for (int i = 0; i < 5000; ++i) {  // more than fits into a pipe
      observe::Region const region("part");
    }
  });
  group.wait();
  int const reader = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // NOLINT: variadic
  std::thread writer([&file] { observe::write_trace(file); });
  pollfd polled{reader, POLLIN, 0};
  EXPECT_EQ(poll(&polled, 1, -1), 1);
  EXPECT_EQ(get(pages, "/debug/").status, "HTTP/1.1 200 OK");
  Answer const answer = get(pages, "/debug/trace?seconds=1ms");
  EXPECT_EQ(answer.status, "HTTP/1.1 409 Conflict");
  EXPECT_TRUE(is_in(answer.body, "the program is at its own trace just now")) << answer.body;
  pages.stop();
  (void)fcntl(reader, F_SETFL, 0);  // NOLINT: variadic
  char buffer[4096];
  while (read(reader, buffer, sizeof buffer) > 0) {
  }
  writer.join();
  close(reader);
  EXPECT_FALSE(a_trace_is_on());  // the page's was given up when that was over
  (void)std::remove(file.c_str());
}

// (nc -N) Who has no more to say waits for the answer all the same.
TEST(Pages, a_trace_for_who_says_no_more) {
  auto const pages = observe::serve(":0");
  Client const client(pages.address());
  EXPECT_TRUE(client.send("GET /debug/trace?seconds=50ms HTTP/1.0\r\n\r\n"));
  client.say_no_more();
  std::string const text = client.rest();
  EXPECT_EQ(text.rfind("HTTP/1.1 200 OK\r\n", 0), 0U) << text.substr(0, 100);
  bool failed = false;
  (void)test::Json::parse(text.substr(std::min(text.find("\r\n\r\n") + 4, text.size())), failed);
  EXPECT_FALSE(failed);
}

// (tokio-console, issue 177: no answer from a program that is busy.)
TEST(Pages, answered_while_all_workers_spin) {
  auto const pages = observe::serve(":0");
  std::atomic<bool> over{false};
  std::atomic<int> spinning{0};
  WaitGroup all;
  int const procs = max_procs(0);
  std::thread asker([&] {
    while (spinning.load() < procs) {
      std::this_thread::yield();
    }
    Clock::duration best = 1min;
    for (int i = 0; i < 20; ++i) {
      auto const start = Clock::now();
      Client const client(pages.address());
      EXPECT_TRUE(client.send("GET /debug/goroutines HTTP/1.0\r\n\r\n"));
      EXPECT_TRUE(client.first_byte());
      best = std::min(best, Clock::now() - start);
      EXPECT_TRUE(is_in(client.rest(), "[running]"));
    }
    over = true;
    if (!test::emulated()) {
      EXPECT_LT(best, 100ms);
    }
  });
  for (int i = 0; i < procs; ++i) {
    all.go([&] {
      ++spinning;
      while (!over.load()) {
      }
    });
  }
  asker.join();
  all.wait();
}

TEST(Pages, hostile_requests) {
  auto const pages = observe::serve(":0");
  auto const status = [&](const std::string& request) {
    return answer_to(pages.address(), request).status;
  };
  EXPECT_EQ(status("POST /debug/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
            "HTTP/1.1 405 Method Not Allowed");
  EXPECT_EQ(status("rubbish\r\n\r\n"), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status("GET debug HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status("\r\n\r\n"), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status("GET /debug/ HTTP/1.1\r\nHost: evil.example:80\r\n\r\n"),
            "HTTP/1.1 403 Forbidden");
  EXPECT_EQ(status("GET /debug/ HTTP/1.1\r\nHost: LocalHost:80\r\n\r\n"), "HTTP/1.1 200 OK");
  EXPECT_EQ(status("GET /debug/ HTTP/1.0\n\n"), "HTTP/1.1 200 OK");
  EXPECT_EQ(status("GET /debug/ HTTP/1.1\r\nX: " + std::string(9000, 'x')),
            "HTTP/1.1 431 Request Header Fields Too Large");
  EXPECT_EQ(status("GET /debug/?" + std::string(7000, '%') + " HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK");
  // Those who ask slowly, or nothing at all, do not keep others out.
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 100; ++i) {
    slow.push_back(std::make_unique<Client>(pages.address()));
    (void)slow.back()->send("GET /de");
  }
  EXPECT_EQ(get(pages, "/debug/").status, "HTTP/1.1 200 OK");
  // The last ones are still there, the first ones went.
  EXPECT_TRUE(slow.back()->send("bug/ HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(is_in(slow.back()->rest(), "200 OK"));
  EXPECT_EQ(slow.front()->rest(), "");
}

TEST(Pages, stop_frees_the_port) {
  std::string address;
  {
    auto pages = observe::serve(":0");
    address = pages.address();
    Client const waiting(address);
    EXPECT_TRUE(waiting.send("GET "));
    EXPECT_THROW((void)observe::serve(address), std::system_error);
    pages.stop();
    EXPECT_EQ(pages.address(), "");
    EXPECT_EQ(waiting.rest(), "");
    pages = observe::serve(address);
    auto const moved = std::move(pages);
    EXPECT_EQ(get(moved, "/debug/").status, "HTTP/1.1 200 OK");
  }
  EXPECT_FALSE(Client(address).connected());
  EXPECT_THROW((void)observe::serve("nonsense"), std::system_error);
  // By a goroutine, too.
  WaitGroup all;
  all.go([&] { EXPECT_EQ(get(observe::serve(address), "/debug/").status, "HTTP/1.1 200 OK"); });
  all.wait();
}

TEST(Pages, unix_sockets_take_their_files_with_them) {
  std::string const file = testing::TempDir() + "hamgam_pages" + std::to_string(getpid());
  for (int i = 0; i < 2; ++i) {
    auto const pages = observe::serve(file);
    EXPECT_EQ(pages.address(), file);
    EXPECT_EQ(access(file.c_str(), F_OK), 0);
  }
  EXPECT_NE(access(file.c_str(), F_OK), 0);
}

// A child that lives on does not keep the port.
TEST(Pages, fork) {
  if (test::emulated()) {
    return;  // the child of a process with threads
  }
  int ready[2];  // the child has come so far
  int over[2];   // it may end
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(over, O_CLOEXEC), 0);
  auto pages = observe::serve(":0");
  std::string const address = pages.address();
  pid_t const pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    close(over[1]);
    pages.stop();
    char byte = 1;
    bool const told = write(ready[1], &byte, 1) == 1;
    _exit(told && read(over[0], &byte, 1) == 0 ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(get(pages, "/debug/").status, "HTTP/1.1 200 OK");
  pages.stop();
  EXPECT_EQ(get(observe::serve(address), "/debug/").status, "HTTP/1.1 200 OK");
  for (int end : {ready[0], ready[1], over[0], over[1]}) {
    close(end);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

// Its thread is no unknown one.
TEST(Pages, OB22_deadlocks_are_told_of) {
  if (test::emulated()) {
    return;  // the emulator has a thread of its own, which nobody knows
  }
  auto const child = test::in_child([] {
    (void)run([] {
      auto const pages = observe::serve(":0");
      EXPECT_EQ(get(pages, "/debug/").status, "HTTP/1.1 200 OK");
      Client const idle(pages.address());
      (void)make_chan<int>().recv();
    });
  });
  EXPECT_TRUE(child.aborted()) << child.status;
  EXPECT_TRUE(child.begins("fatal error: all goroutines are asleep - deadlock!\n")) << child.error;
}

TEST(Pages, static_ones_end_at_exit) {
  auto const child = test::in_child([] {
    static observe::PageServer const pages = observe::serve(":0");
    static observe::PageServer const more = observe::serve(":0");
    EXPECT_EQ(get(pages, "/debug/").status, "HTTP/1.1 200 OK");
    go([] { (void)make_chan<int>().recv(); });
    std::exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

#if !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)
// The destructors of other static objects are run, too.
TEST(Pages, static_ones_end_at_exit_in_the_middle_of_an_answer) {
  auto const child = test::in_child([] {
    struct Last {
      ~Last() { std::fputs("the last\n", stderr); }
    };
    static Last const kLast;
    std::string const path = testing::TempDir() + "hamgam_middle" + std::to_string(getpid());
    static observe::PageServer const pages = observe::serve(path);
    static observe::PageServer const more = observe::serve(":0");
    go([] { (void)make_chan<int>().recv(); });
    t_looks_up = true;
    g_lookups_end = false;
    static Client const client(more.address());
    EXPECT_TRUE(
        client.send("GET /debug/goroutines HTTP/1.1\r\nHost: " + more.address() + "\r\n\r\n"));
    test::until([] { return g_lookups.load() != 0; });
    std::exit(testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_TRUE(child.succeeded()) << child.status;
  EXPECT_EQ(child.error, "the last\n");
}
#endif

TEST(Pages, html_is_good) {
  if (test::output_of("command -v tidy").empty() || test::emulated()) {
    return;
  }
  auto const pages = observe::serve(":0");
  go({.name = "<&\"\x01>"}, [] { sleep(1ms); });
  std::string const file = testing::TempDir() + "hamgam_page" + std::to_string(getpid());
  for (const char* path : {"/debug/", "/debug/goroutines", "/debug/goroutines?group=0",
                           "/debug/locks", "/debug/scheduler", "/debug/stacks"}) {
    std::ofstream(file) << get(pages, path, "Accept: text/html\r\n").body;
    EXPECT_EQ(test::output_of("tidy -errors -quiet -utf8 " + file), "") << path;
  }
  (void)std::remove(file.c_str());
}

}  // namespace
}  // namespace hamgam
