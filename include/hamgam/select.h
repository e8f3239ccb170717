// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// select: waits until one of several channel operations can be done, and does that one.
//
//   select(on_recv(jobs, [](std::optional<Job> job) { ... }),   // nullopt: closed and drained
//          on_send(results, std::move(result), [] { ... }),
//          on_recv(context.done(), [] { ... }),
//          on_timeout(1s, [] { ... }));
//
// If several are ready, each is chosen with the same probability. Whether any is ready is decided
// for all at one moment: `otherwise` is taken only if at that moment none was. A nil channel is
// never ready; a closed one is, and a send to it is a Panic. No memory is allocated for up to 8
// cases, but for the timer of a time-out: std::bad_alloc if there is none, and nothing was done.
//
// To leave a loop around it, use the place that it returns, or a flag: `return` in a case's
// function leaves that function only.
//
//   while (select(on_recv(done), on_recv(jobs, work)) != 0) {
//   }
//
// Made for use on the spot: a case refers to the handle of its channel, unless that is an rvalue,
// and to a value that may be moved from, so it must not outlive them. SelectSet, for cases that are
// known only at run time, keeps both.
//
// Happens-before: as for the send or receive that is done (chan.h). A request to stop is before the
// return of the select or wait that it ends.

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

#include "hamgam/chan.h"
#include "hamgam/detail/select_cases.h"

namespace hamgam::inline HAMGAM_ABI {

// Receives. f(std::optional<T>), or f(), or no function.
template <detail::RecvEnd C, detail::RecvFunction<typename C::value_type> F = detail::NoFunction>
[[nodiscard]] auto on_recv(const C& ch HAMGAM_LIFETIMEBOUND, F f = {}) {
  return detail::RecvCase<typename C::value_type, F>(detail::Borrowed(detail::ChanAccess::core(ch)),
                                                     std::move(f));
}
template <detail::RecvEnd C, detail::RecvFunction<typename C::value_type> F = detail::NoFunction>
[[nodiscard]] auto on_recv(C&& ch, F f = {}) {
  return detail::RecvCase<typename C::value_type, F, detail::Taken<C>>(
      detail::Taken<C>(std::forward<C>(ch)), std::move(f));
}
template <detail::RecvEnd C, class F>
  requires(!detail::RecvFunction<F, typename C::value_type>)
auto on_recv(const C& ch, F /*f*/) {
  static_assert(
      detail::RecvFunction<F, typename C::value_type>,
      "the function of on_recv takes std::optional<T>, which is empty once the channel is "
      "closed and drained, or nothing");
  return on_recv(ch);
}

// Sends. An rvalue is moved from only if this case is chosen (a SelectSet takes it over at once).
template <detail::SendEnd C, std::invocable F = detail::NoFunction>
[[nodiscard]] auto on_send(const C& ch HAMGAM_LIFETIMEBOUND,
                           typename C::value_type&& value HAMGAM_LIFETIMEBOUND, F f = {}) {
  using T = typename C::value_type;
  return detail::SendCase<T, detail::Movable<T>, F>(detail::Borrowed(detail::ChanAccess::core(ch)),
                                                    detail::Movable<T>(value), std::move(f));
}
template <detail::SendEnd C, std::invocable F = detail::NoFunction>
[[nodiscard]] auto on_send(C&& ch, typename C::value_type&& value HAMGAM_LIFETIMEBOUND, F f = {}) {
  using T = typename C::value_type;
  return detail::SendCase<T, detail::Movable<T>, F, detail::Taken<C>>(
      detail::Taken<C>(std::forward<C>(ch)), detail::Movable<T>(value), std::move(f));
}
template <detail::SendEnd C, std::invocable F = detail::NoFunction>
  requires std::copy_constructible<typename C::value_type>
[[nodiscard]] auto on_send(const C& ch HAMGAM_LIFETIMEBOUND, const typename C::value_type& value,
                           F f = {}) {
  using T = typename C::value_type;
  return detail::SendCase<T, detail::Kept<T>, F>(detail::Borrowed(detail::ChanAccess::core(ch)),
                                                 detail::Kept<T>(T(value)), std::move(f));
}
template <detail::SendEnd C, std::invocable F = detail::NoFunction>
  requires std::copy_constructible<typename C::value_type>
[[nodiscard]] auto on_send(C&& ch, const typename C::value_type& value, F f = {}) {
  using T = typename C::value_type;
  return detail::SendCase<T, detail::Kept<T>, F, detail::Taken<C>>(
      detail::Taken<C>(std::forward<C>(ch)), detail::Kept<T>(T(value)), std::move(f));
}
template <detail::SendEnd C, class F>
  requires(!std::invocable<F>)
auto on_send(const C& ch, const typename C::value_type& value, F /*f*/) {
  static_assert(std::invocable<F>, "the function of on_send takes no arguments");
  return on_send(ch, value);
}

// Chosen if nothing else could be done for that long.
template <class Rep, class Period, std::invocable F = detail::NoFunction>
[[nodiscard]] auto on_timeout(const std::chrono::duration<Rep, Period>& d, F f = {}) {
  return detail::TimeoutCase<F>(detail::saturated_nanos(d), std::move(f));
}
template <class Rep, class Period, class F>
  requires(!std::invocable<F>)
auto on_timeout(const std::chrono::duration<Rep, Period>& d, F /*f*/) {
  static_assert(std::invocable<F>, "the function of on_timeout takes no arguments");
  return on_timeout(d);
}

// Ready once stop was requested.
template <std::invocable F = detail::NoFunction>
[[nodiscard]] auto on_stop(std::stop_token token, F f = {}) {
  return detail::StopCase<F>(std::move(token), std::move(f));
}

// Chosen if no other case is ready (Go: default).
template <std::invocable F = detail::NoFunction>
[[nodiscard]] auto otherwise(F f = {}) {
  return detail::OtherwiseCase<F>(std::move(f));
}

// Waits for one of the cases, does it, calls its function and returns its place in the list. With
// no case at all: waits for ever. Panic "send on closed channel".
template <detail::IsSelectCase... Cases>
std::size_t select(Cases&&... cases) {
  std::array<detail::SelectOp, sizeof...(Cases)> ops{cases.op()...};
  detail::SelectLimit limit;
  std::size_t place = 0;
  (limit.consider(cases.patience(), place++), ...);
  // The case that ends the waiting stands last, mostly, and the core need not look at it.
  std::size_t const count = place > 0 && limit.place == place - 1 ? place - 1 : place;
  std::size_t chosen = detail::select_ops(ops.data(), count, limit.deadline());
  chosen = chosen == detail::kSelectGaveUp ? limit.place : chosen;
  place = 0;
  (void)((place++ == chosen ? (cases.run(ops[chosen].waiter.done), true) : false) || ...);
  return chosen;
}

// Cases that are known only at run time. Not thread-safe. Functions may change the set that calls
// them.
class HAMGAM_API SelectSet {
 public:
  using Key = std::size_t;  // never given twice

  SelectSet();
  ~SelectSet();
  SelectSet(SelectSet&& other) noexcept;
  SelectSet& operator=(SelectSet&& other) noexcept;
  SelectSet(const SelectSet&) = delete;
  SelectSet& operator=(const SelectSet&) = delete;

  // Takes over the case, with the value of a send.
  template <detail::IsSelectCase C>
  Key add(C&& one) {
    auto kept = std::move(one).kept();  // NOLINT(bugprone-move-forwarding-reference): as said
    return add_case(std::make_unique<Model<decltype(kept)>>(std::move(kept)));
  }

  // A key that is not in the set is ignored. The time that it takes grows with the logarithm of
  // the number of cases (a wait's, with their number).
  void remove(Key key) noexcept;

  // How many cases are in it.
  [[nodiscard]] std::size_t size() const noexcept;

  // As select. A send that was done, or failed because the channel is closed, leaves the set; the
  // others stay.
  Key wait();

  // nullopt: no case could be done in time, or before stop was requested.
  template <class Rep, class Period>
  std::optional<Key> wait_for(const std::chrono::duration<Rep, Period>& d) {
    return wait_deadline(d > d.zero() ? detail::deadline_after(d) : 0);
  }
  template <class C, class D>
  std::optional<Key> wait_until(const std::chrono::time_point<C, D>& t) {
    std::optional<Key> key;
    (void)detail::attempt_until(t, [&](std::int64_t deadline) {
      key = wait_deadline(deadline);
      return key.has_value();
    });
    return key;
  }
  std::optional<Key> wait(const std::stop_token& token);

 private:
  struct Entry {
    virtual ~Entry() = default;
    virtual detail::SelectOp op() noexcept = 0;
    virtual void run(bool done) = 0;
    [[nodiscard]] virtual std::int64_t patience() const noexcept = 0;
    [[nodiscard]] virtual bool once() const noexcept = 0;
  };

  template <class C>
  struct Model final : Entry {
    explicit Model(C&& other) : one(std::move(other).kept()) {
      if (one.chan() != nullptr) {
        detail::retain_chan(one.chan());
      }
    }
    ~Model() override {
      if (one.chan() != nullptr) {
        detail::release_chan(one.chan());
      }
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    detail::SelectOp op() noexcept override { return one.op(); }
    void run(bool done) override { one.run(done); }
    [[nodiscard]] std::int64_t patience() const noexcept override { return one.patience(); }
    [[nodiscard]] bool once() const noexcept override { return C::kOnce; }

    C one;
  };

  struct Slot {
    Key key;
    std::unique_ptr<Entry> entry;  // null while its function runs
    bool gone = false;             // removed
  };

  Key add_case(std::unique_ptr<Entry> entry);
  std::vector<Slot>::iterator find(Key key) noexcept;
  void close_gaps() noexcept;
  std::optional<Key> wait_deadline(std::int64_t deadline);
  std::optional<Key> wait_with(std::int64_t deadline, const std::stop_token* token);
  Key run(std::size_t place, bool done);

  std::vector<Slot> slots_;  // by rising keys
  std::size_t gone_ = 0;     // how many of them
  std::vector<detail::SelectOp> ops_;
  Key next_key_ = 0;
};

}  // namespace hamgam::inline HAMGAM_ABI
