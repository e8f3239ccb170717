// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/own_memory.h"
#include "hamgam/net.h"
#include "hamgam/observe.h"
#include "hamgam/waitgroup.h"
#include "observe/page.h"
#include "observe/page_trace.h"
#include "os/exit.h"
#include "os/fork.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/exit.h"
#include "sched/park.h"
#include "sched/threads.h"

// The pages' sockets: one thread with poll(2), since it must answer while all workers spin, and
// nothing of it may wait for a goroutine. A known thread that rests (threads.h) while it polls, so
// that it does not stand in the way of the report of deadlocks.
//
// Whoever asks is bounded: a request by kMostHead bytes and kPatience, an answer by kPatience
// without any progress, and there are kMost connections; one more, and the one that is there for
// the longest goes. An answer is made as a whole, and sent as the other side takes it. A trace is
// recorded first, while others are answered.
//
// Who keeps what alive. The State belongs to the handle and the thread; the last one of them closes
// the listener. The thread ends when the handle says so (stop, then the event); the handle's
// destructor waits for that, and sees to it that no deadlock is declared meanwhile, as the thread
// that will wake it rests. From exit() on, which stops goroutines, nothing is answered, and the
// thread waits for the handle alone, which may be a static object. That does not wait for a long
// answer: what it looks at is nothing that the exit destroys. In the child of a fork there is no
// thread: the handle only closes; the descriptors that are left there are closed by the fork, so
// that no port stays taken when the parent ends.

namespace hamgam::inline HAMGAM_ABI {

namespace {

using namespace detail;

constexpr std::size_t kMost = 32;
constexpr std::size_t kMostHead = 8192;
constexpr Nanos kPatience = 10'000 * kMillisecond;
constexpr Nanos kGoodbye = 1'000 * kMillisecond;   // for the other side to close
constexpr Nanos kLastAnswer = 200 * kMillisecond;  // at the exit, to one that is under way
constexpr Nanos kPause = 100 * kMillisecond;       // when there are no descriptors left

// A descriptor that no child of a fork keeps. Never freed, since the fork walks the list.
struct Descriptor {
  atomic<int> fd{-1};
  Descriptor* next = nullptr;
};
constinit atomic<Descriptor*> g_descriptors{nullptr};
constinit SpinLock g_descriptors_lock;

void close_in_child() noexcept {
  // [page.1] acquire, pairs with [page.2]: next
  for (Descriptor* d = g_descriptors.load(kAcquire); d != nullptr; d = d->next) {
    int const fd = d->fd.exchange(-1, kRelaxed);  // relaxed: there is one thread
    if (fd >= 0) {
      (void)close(fd);
    }
  }
}

Descriptor* keep(int fd) noexcept {
  std::lock_guard const guard(g_descriptors_lock);
  // relaxed throughout: under the lock
  for (Descriptor* d = g_descriptors.load(kRelaxed); d != nullptr; d = d->next) {
    int none = -1;
    if (d->fd.compare_exchange_strong(none, fd, kRelaxed, kRelaxed)) {
      return d;
    }
  }
  auto* const d = try_make_own<Descriptor>();
  if (d != nullptr) {
    d->fd.store(fd, kRelaxed);
    d->next = g_descriptors.load(kRelaxed);
    if (d->next == nullptr) {
      (void)pthread_atfork(nullptr, nullptr, &close_in_child);
    }
    g_descriptors.store(d, kRelease);  // [page.2] release, pairs with [page.1]
  }
  return d;
}

// Closes at its end, unless the child of a fork has done so.
class Socket {
 public:
  Socket() noexcept = default;
  explicit Socket(int fd) noexcept : kept_(fd >= 0 ? keep(fd) : nullptr) {
    if (fd >= 0 && kept_ == nullptr) {
      (void)close(fd);
    }
  }
  Socket(Socket&& other) noexcept : kept_(std::exchange(other.kept_, nullptr)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(kept_, other.kept_);
    return *this;
  }
  ~Socket() {
    // relaxed: ours
    int const fd = kept_ != nullptr ? kept_->fd.exchange(-1, kRelaxed) : -1;
    if (fd >= 0) {
      (void)close(fd);
    }
  }
  [[nodiscard]] int get() const noexcept {
    return kept_ != nullptr ? kept_->fd.load(kRelaxed) : -1;  // relaxed: ours
  }

 private:
  Descriptor* kept_ = nullptr;
};

class Connection {
 public:
  Connection(Socket socket, bool local, Nanos time) noexcept
      : socket_(std::move(socket)), local_(local), deadline_(time + kPatience) {}

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] short wants() const noexcept {
    switch (step_) {
      case Step::kWrites:
        return POLLOUT;
      case Step::kRecords:
        return sent_ == 0 ? POLLRDHUP : 0;
      default:
        return POLLIN;
    }
  }
  [[nodiscard]] Nanos deadline() const noexcept { return deadline_; }

  // False: it is over.
  bool go_on(Nanos time, short events) {
    if (step_ == Step::kRecords) {
      return (events & ~POLLRDHUP) == 0 && find_out();
    }
    if (step_ == Step::kReads && !read()) {
      return false;
    }
    if (step_ == Step::kWrites && !write(time)) {
      return false;
    }
    return step_ != Step::kLeaves || drain();
  }

  // The deadline has passed. False: it is over.
  bool go_on_late(Nanos time) {
    if (step_ != Step::kRecords) {
      return false;
    }
    try {
      reply_.body = trace_->end();
    } catch (const std::system_error& error) {
      if (is_busy(error) && time < recorded_at_ + kPatience) {
        deadline_ = time + kPause;
        return true;
      }
      reply_ = trace_refusal(error);
    }
    trace_ = nullptr;
    answer(now());
    return true;
  }

 private:
  enum class Step { kReads, kRecords, kWrites, kLeaves };

  void answer(Nanos time) {
    text_ = page_text(reply_, has_body_);
    reply_ = {};
    step_ = Step::kWrites;
    deadline_ = time + kPatience;
  }

  static bool is_busy(const std::system_error& error) {
    return error.code() == std::errc::device_or_resource_busy;
  }

  // The other side says no more. Has it gone, or does it wait for the answer? That begins with
  // these bytes in any case, and who has gone does not take them: the next poll tells.
  bool find_out() noexcept {
    ssize_t const put =
        send(fd(), kPageBegin.data(), kPageBegin.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    sent_ = static_cast<std::size_t>(std::max<ssize_t>(put, 0));
    return put > 0;
  }

  // False: there is none to be had.
  bool begin_trace() {
    try {
      trace_ = std::make_unique<PageTrace>();
      return true;
    } catch (const std::system_error& error) {
      reply_ = trace_refusal(error);
      return false;
    }
  }

  bool read() {
    char buffer[4096];
    ssize_t const got = recv(fd(), buffer, sizeof buffer, 0);
    if (got <= 0) {
      return got < 0 && (errno == EAGAIN || errno == EINTR);
    }
    text_.append(buffer, static_cast<std::size_t>(got));
    bool const whole =
        text_.find("\r\n\r\n") != std::string::npos || text_.find("\n\n") != std::string::npos;
    if (whole) {
      has_body_ = text_.substr(0, 5) != "HEAD ";
      reply_ = answer_page(text_, local_);
      if (has_body_ && reply_.records != 0 && begin_trace()) {
        step_ = Step::kRecords;
        recorded_at_ = deadline_ = now() + reply_.records;
        return true;
      }
    } else if (text_.size() > kMostHead) {
      reply_ = {"431 Request Header Fields Too Large", "text/plain", "", "too long\n"};
    } else {
      return true;
    }
    answer(now());
    return true;
  }

  bool write(Nanos time) noexcept {
    ssize_t const put =
        send(fd(), text_.data() + sent_, text_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0) {
      return errno == EAGAIN || errno == EINTR;
    }
    sent_ += static_cast<std::size_t>(put);
    deadline_ = std::max(deadline_, time + kPatience);
    if (sent_ == text_.size()) {
      // What the other side has sent and nobody has read would make the kernel take the answer
      // back.
      (void)shutdown(fd(), SHUT_WR);
      step_ = Step::kLeaves;
      deadline_ = time + kGoodbye;
      left_ = 4 * kMostHead;
    }
    return true;
  }

  bool drain() noexcept {
    char buffer[4096];
    ssize_t const got = recv(fd(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0) {
      return errno == EAGAIN || errno == EINTR;
    }
    auto const size = static_cast<std::size_t>(got);
    left_ -= std::min(left_, size);
    return size != 0 && left_ != 0;
  }

  Socket socket_;
  bool local_;
  Step step_ = Step::kReads;
  Nanos deadline_;
  bool has_body_ = true;
  PageReply reply_;
  std::unique_ptr<PageTrace> trace_;
  Nanos recorded_at_ = 0;
  std::string text_;  // the request, then the answer
  std::size_t sent_ = 0;
  std::size_t left_ = 0;
};

bool is_local(const net::Address& address) {
  std::string const host = address.host();
  return address.is_unix() || host.substr(0, 4) == "127." || host == "::1";
}

net::Address parse(std::string_view text) {
  constexpr std::string_view kLocalhost = "localhost";
  if (text.substr(0, kLocalhost.size()) == kLocalhost) {
    text.remove_prefix(kLocalhost.size());
  }
  return net::Address::parse(text.substr(0, 1) == ":" ? "127.0.0.1" + std::string(text)
                                                      : std::string(text));
}

[[noreturn]] void fail(int error, const net::Address& address) {
  throw std::system_error(error, std::system_category(), "observe: serve " + address.to_string());
}

}  // namespace

namespace observe {

struct PageServer::State {
  Socket listener;
  Socket event;
  bool local = false;
  int process = process_id();
  std::string address;
  std::string file;  // of a Unix socket; empty: there is none
  atomic<bool> file_removed{false};
  atomic<bool> stop{false};
  WaitGroup ended;

  void run() noexcept;
  void remove_file() noexcept;
  void serve_once(std::vector<Connection>& all, Nanos& quiet_until) noexcept;
  void accept_some(std::vector<Connection>& all, Nanos& quiet_until, Nanos time);
};

void PageServer::State::accept_some(std::vector<Connection>& all, Nanos& quiet_until, Nanos time) {
  for (std::size_t i = 0; i < kMost; ++i) {
    int const fd = accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        quiet_until = time + kPause;
      }
      return;
    }
    if (all.size() == kMost) {
      all.erase(all.begin());
    }
    Socket socket(fd);
    if (socket.get() >= 0) {
      all.emplace_back(std::move(socket), local, time);
    }
  }
}

void PageServer::State::serve_once(std::vector<Connection>& all, Nanos& quiet_until) noexcept {
  Nanos time = now();
  pollfd polled[kMost + 2];
  std::size_t const count = all.size();
  Nanos next = kForever;
  polled[0] = {event.get(), POLLIN, 0};
  bool const accepts = time >= quiet_until && !exiting();
  polled[1] = {accepts ? listener.get() : -1, POLLIN, 0};
  if (!accepts && !exiting()) {
    next = quiet_until;
  }
  for (std::size_t i = 0; i < count; ++i) {
    polled[i + 2] = {all[i].fd(), all[i].wants(), 0};
    next = std::min(next, all[i].deadline());
  }
  int const limit =
      next == kForever
          ? -1
          : static_cast<int>(std::max<Nanos>(0, (next - time + kMillisecond - 1) / kMillisecond));
  ThreadRecord* const me = hold_thread_record();
  me->begin_rest();
  (void)poll(polled, count + 2, limit);
  me->end_rest();
  release_thread_record(me);
  // relaxed: [page.3] says what was done before, and this is only looked at again
  if (stop.load(kRelaxed) || exiting()) {
    all.clear();
    return;
  }
  time = now();
  // From the last one on, so that those that go leave the others' places.
  for (std::size_t i = count; i-- != 0;) {
    bool stays = false;
    try {
      stays = all[i].deadline() <= time
                  ? all[i].go_on_late(time)
                  : polled[i + 2].revents == 0 || all[i].go_on(time, polled[i + 2].revents);
    } catch (const std::bad_alloc&) {
      stays = false;
    }
    if (!stays) {
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  if ((polled[1].revents & POLLIN) != 0) {
    try {
      accept_some(all, quiet_until, time);
    } catch (const std::bad_alloc&) {
      quiet_until = time + kPause;
    }
  }
}

void PageServer::State::run() noexcept {
  std::vector<Connection> all;
  Nanos quiet_until = 0;
  // [page.3] acquire, pairs with [page.4]
  while (!stop.load(kAcquire)) {
    serve_once(all, quiet_until);
  }
  listener = Socket();
  remove_file();
}

void PageServer::State::remove_file() noexcept {
  // relaxed: one of two does it; it might be another one's by then
  if (!file.empty() && !file_removed.exchange(true, kRelaxed)) {
    (void)unlink(file.c_str());
  }
}

PageServer::PageServer(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
PageServer::PageServer(PageServer&& other) noexcept = default;
PageServer& PageServer::operator=(PageServer&& other) noexcept {
  if (this != &other) {
    stop();
    state_ = std::move(other.state_);
  }
  return *this;
}
PageServer::~PageServer() { stop(); }

std::string PageServer::address() const { return state_ != nullptr ? state_->address : ""; }

void PageServer::stop() noexcept {
  std::shared_ptr<State> const state = std::exchange(state_, nullptr);
  if (state == nullptr || state->process != process_id()) {
    return;
  }
  begin_outside();                    // until the thread, which rests, has come round
  state->stop.store(true, kRelease);  // [page.4] release, pairs with [page.3]
  std::uint64_t const one = 1;
  (void)!write(state->event.get(), &one, sizeof one);
  if (patience() == kForever) {
    state->ended.wait();
  } else if (!state->ended.wait_for(std::chrono::nanoseconds(kLastAnswer))) {
    state->remove_file();  // the port goes with the process
  }
  end_outside();
}

PageServer serve(std::string_view text) {
  if (is_forked_child()) {
    refuse_in_child();
  }
  TsanHide const hide;
  net::Address const address = parse(text);
  auto const* const raw = static_cast<const sockaddr*>(address.raw());
  auto state = std::make_shared<PageServer::State>();
  state->local = is_local(address);
  state->event = Socket(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  state->listener = Socket(socket(raw->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (state->event.get() < 0 || state->listener.get() < 0) {
    fail(errno, address);
  }
  int const on = 1;
  (void)setsockopt(state->listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(state->listener.get(), raw, static_cast<socklen_t>(address.raw_size())) != 0 ||
      listen(state->listener.get(), 128) != 0) {
    fail(errno, address);
  }
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (getsockname(state->listener.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    fail(errno, address);
  }
  state->address = net::Address::from_raw(&name, size).to_string();
  if (address.is_unix() && state->address.substr(0, 1) == "/") {
    state->file = state->address;
  }
  state->ended.add(1);
  auto const run = [](void* raw_state) {
    TsanHide const unseen;
    std::unique_ptr<std::shared_ptr<PageServer::State>> const mine(
        static_cast<std::shared_ptr<PageServer::State>*>(raw_state));
    (*mine)->run();
    (*mine)->ended.done();
  };
  auto mine = std::make_unique<std::shared_ptr<PageServer::State>>(state);
  if (!start_thread("hamgam-page", run, mine.get(), detail::Signals::kFaults)) {
    state->remove_file();
    fail(EAGAIN, address);
  }
  (void)mine.release();
  return PageServer(std::move(state));
}

}  // namespace observe

}  // namespace hamgam::inline HAMGAM_ABI
