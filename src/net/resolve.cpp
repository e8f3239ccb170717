// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "net/resolve.h"

#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "base/immortal.h"
#include "base/intrusive_queue.h"
#include "hamgam/detail/inner_mutex.h"
#include "hamgam/go.h"
#include "hamgam/time.h"
#include "hamgam/waitgroup.h"
#include "os/fork.h"
#include "sched/park.h"
#include "wait/stop.h"

// Names are looked up by the C library, which knows what the system's administrator has said
// (nsswitch, hosts, search lists), and blocks a thread for as long as the servers take: 0.1 ms, or
// half a minute when they are not there. So that this neither takes all the places of blocking()
// nor does the same work twice:
//
// * All who ask the same question while it is being answered share one Flight. It ends for all of
//   them at once; one who gives up only leaves it. It is no cache: a question that comes when the
//   answer is there is a new one.
// * At most kMostLookups are under way (half of blocking()'s places, if these are fewer); others
//   queue, first come first served.
// * A lookup can't be stopped: one that is under way ends, and its answer is for whoever asks
//   meanwhile. One that is still queued is dropped at its turn if nobody waits for it any more:
//   else the names of callers who have long gone would keep those of today waiting.
//
// flight       in the table   in the queue   holders
//   queued     yes            yes            those who wait, and 1
//   under way  yes            no             those who wait, and the goroutine that asks
//   landed     no             no             those who have not looked yet, and for a moment that
//   one
// All of it, `holders` too, under the lock; the last holder deletes the flight. The answer is
// written by the goroutine that asks before it lands, and read after that.
//
// A lookup counts among the calls that block, but never waits for a place among them: those who
// have the places may be waiting for its answer.
//
// These goroutines are started as they are wanted, each answers one question after another until
// none is queued, and then ends. So there is one to come to each flight that is queued: whoever
// puts one there sees, under the lock, that as many are at work as may be, or starts another.
//
// Rejected: a goroutine for each question, and a Semaphore: it would be asked of goroutines that
// nobody waits for. Rejected: c-ares, which reads nsswitch and hosts by itself, and not all of
// them.

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::Immortal;
using hamgam::detail::InnerMutex;
using hamgam::detail::IntrusiveQueue;
using hamgam::detail::kForever;
using hamgam::detail::NetLimit;
using hamgam::detail::now;
using hamgam::detail::TsanHide;
using hamgam::detail::TsanNoEdges;

namespace {

[[noreturn]] void fail(std::error_code code, std::string_view what) {
  throw Error(code, "address " + std::string(what));
}

struct Flight {
  Flight(HostPort q, Transport t) : question(std::move(q)), transport(t) { landed.add(); }

  const HostPort question;
  const Transport transport;
  std::vector<Address> addresses;
  std::error_code error;
  bool no_memory = false;
  WaitGroup landed;

  unsigned holders = 2;      // who began it, and who will ask
  Flight* next = nullptr;    // in the queue
  Flight* beside = nullptr;  // in the table
};

class Lookups {
 public:
  // The flight for the question, with the caller as one of its holders. Throws std::bad_alloc.
  Flight* join(HostPort question, Transport transport) {
    if (hamgam::detail::is_forked_child()) {
      hamgam::detail::refuse_in_child();  // the lock may be another thread's, who is not here
    }
    TsanHide const hide;
    std::lock_guard const guard(mutex_);
    Flight*& row = row_of(question);
    for (Flight* flight = row; flight != nullptr; flight = flight->beside) {
      if (flight->transport == transport && flight->question == question) {
        ++flight->holders;
        return flight;
      }
    }
    auto flight = std::make_unique<Flight>(std::move(question), transport);
    if (running_ < most()) {
      start();
    }
    flight->beside = row;
    row = flight.get();
    queue_.push(flight.get());
    ++queued_;
    return flight.release();
  }

  void leave(Flight* flight) noexcept {
    TsanHide const hide;
    std::lock_guard const guard(mutex_);
    drop(flight);
  }

  LookupCounts count() noexcept {
    TsanHide const hide;
    std::lock_guard const guard(mutex_);
    LookupCounts counts{running_, queued_, 0};
    for (const Flight* flight : table_) {
      for (; flight != nullptr; flight = flight->beside) {
        counts.waiting += flight->holders - 1;
      }
    }
    return counts;
  }

 private:
  static constexpr std::size_t kRows = 64;

  static unsigned most() noexcept {
    return std::clamp(static_cast<unsigned>(max_blocking()) / 2, 1U, kMostLookups);
  }

  Flight*& row_of(const HostPort& question) noexcept {
    return table_[std::hash<std::string_view>{}(question.host) % kRows];
  }

  // Under mutex_. Without memory for another one those that are at work will do.
  void start() {
    try {
      TsanNoEdges const none;  // whoever happens to start it is before nobody by that
      go([this] { answer(); });
      ++running_;
    } catch (const std::bad_alloc&) {
      if (running_ == 0) {
        throw;
      }
    }
  }

  void answer() {
    Flight* flight = nullptr;
    while ((flight = next_after(flight)) != nullptr) {
      ask(*flight);
      take_out(*flight);
      flight->landed.done();
    }
  }

  static void ask(Flight& flight) {
    hamgam::detail::Pin const pin;  // so that it does not wait for a place
    blocking([&flight] {
      TsanHide const hide;  // the question was made by whoever asked it first
      try {
        flight.error = look_up(flight.question, flight.transport, AI_ADDRCONFIG, flight.addresses);
      } catch (const std::bad_alloc&) {
        flight.no_memory = true;
      }
    });
  }

  // The next one that somebody waits for. Null: there is none, and the caller counts no more.
  Flight* next_after(Flight* former) noexcept {
    TsanHide const hide;
    std::lock_guard const guard(mutex_);
    if (former != nullptr) {
      drop(former);
    }
    while (Flight* flight = queue_.pop()) {
      --queued_;
      if (flight->holders > 1) {
        return flight;
      }
      unlink(*flight);
      drop(flight);
    }
    --running_;
    return nullptr;
  }

  void take_out(Flight& flight) noexcept {
    TsanHide const hide;
    std::lock_guard const guard(mutex_);
    unlink(flight);
  }

  // Under mutex_.
  void unlink(Flight& flight) noexcept {
    Flight** link = &row_of(flight.question);
    while (*link != &flight) {
      link = &(*link)->beside;
    }
    *link = flight.beside;
  }

  // Under mutex_.
  static void drop(Flight* flight) noexcept {
    if (--flight->holders == 0) {
      delete flight;
    }
  }

  InnerMutex mutex_;
  unsigned running_ = 0;  // goroutines that ask; under mutex_, as all of it
  unsigned queued_ = 0;
  IntrusiveQueue<Flight> queue_;
  Flight* table_[kRows] = {};
};

constinit Immortal<Lookups> g_lookups;

// Until the flight has landed. False: gave up.
bool wait_for(WaitGroup& landed, const NetLimit& limit) {
  if (limit.token != nullptr) {
    return landed.wait(*limit.token);
  }
  if (limit.deadline != kForever) {
    return landed.wait_until(TimePoint(std::chrono::nanoseconds(limit.deadline)));
  }
  landed.wait();
  return true;
}

bool is_over(const NetLimit& limit) noexcept {
  return (limit.token != nullptr && hamgam::detail::stop_requested(*limit.token)) ||
         (limit.deadline != kForever && limit.deadline <= now());
}

}  // namespace

LookupCounts count_lookups() noexcept { return g_lookups.value.count(); }

std::vector<Address> resolve_numeric(std::string_view host_port, Transport transport) {
  std::vector<Address> all;
  std::error_code const error = look_up(split(host_port), transport, AI_NUMERICHOST, all);
  if (error == Errc::no_suitable_address) {
    fail(error, host_port);
  }
  return all;
}

std::vector<Address> resolve_within(std::string_view host_port, Transport transport,
                                    NetLimit& limit) {
  if (std::vector<Address> numeric = resolve_numeric(host_port, transport); !numeric.empty()) {
    return numeric;
  }
  if (is_over(limit)) {  // it would have to wait
    limit.gave_up = true;
    return {};
  }
  struct Held {
    Flight* flight;
    ~Held() { g_lookups.value.leave(flight); }
  } const held{g_lookups.value.join(split(host_port), transport)};
  Flight& flight = *held.flight;
  if (!wait_for(flight.landed, limit)) {
    limit.gave_up = true;
    return {};
  }
  if (flight.no_memory) {
    throw std::bad_alloc();
  }
  if (flight.error) {
    fail(flight.error, host_port);
  }
  return flight.addresses;
}

std::vector<Address> resolve_now(std::string_view host_port, Transport transport) {
  NetLimit limit;
  return resolve_within(host_port, transport, limit);
}

std::vector<Address> resolve(std::string_view host_port) {
  return resolve_now(host_port, Transport::kTcp);
}

std::optional<std::vector<Address>> detail::resolve_limited(std::string_view host_port,
                                                            std::int64_t deadline,
                                                            const std::stop_token* token) {
  NetLimit limit;
  limit.deadline = deadline;
  limit.token = token;
  std::vector<Address> all = resolve_within(host_port, Transport::kTcp, limit);
  return limit.gave_up ? std::nullopt : std::optional(std::move(all));
}

}  // namespace hamgam::inline HAMGAM_ABI::net
