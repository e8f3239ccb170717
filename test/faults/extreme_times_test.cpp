// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The faults: a time point far away made a wait give up at once, or a past one wait for ever,
// because durations overflowed when they were brought to a common type: unsigned ones, days, years;
// long ticks, as those of std::tera, did not even compile.
// And a wait until a time of a clock that is not ours lost notifies that came when it began anew.
//
// Each timed function of the library, with each way to write a time. Both lists are at the end.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <ratio>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/asleep.h"
#include "support/crew.h"

namespace {

using namespace std::chrono_literals;
using hamgam::test::Crew;
using hamgam::test::Who;
using std::chrono::duration;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using std::chrono::time_point;

// Never early, never late: 1 us and a bit of std::atto are 1001 ns.
static_assert(hamgam::detail::saturated_nanos(duration<int, std::giga>(2)) ==
              2 * 1'000'000'000L * 1'000'000'000L);
static_assert(hamgam::detail::saturated_nanos(duration<long long, std::atto>(1'000'000'000'001)) ==
              1001);
static_assert(hamgam::detail::saturated_nanos(duration<int, std::ratio<2, 6>>(1)) == 333'333'334);
static_assert(hamgam::detail::saturated_nanos(duration<double, std::exa>(0x1p-60)) == 867'361'738);

// ---- Ways to write a time

__extension__ typedef __int128 Wide;                   // NOLINT(modernize-use-using)
__extension__ typedef unsigned __int128 UnsignedWide;  // NOLINT(modernize-use-using)

// A clock of the user's: not steady, unsigned, with an epoch, a period and a rate of its own.
struct FrameClock {
  using rep = std::uint32_t;
  using period = std::ratio<1, 60>;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<FrameClock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() {
    static auto const start = steady_clock::now();
    auto const frames = std::chrono::duration_cast<duration>(2 * (steady_clock::now() - start));
    return time_point(duration(1'000'000) + frames);
  }
};

// One that counts fractions of years.
struct YearClock {
  using rep = double;
  using period = std::chrono::years::period;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<YearClock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() {
    return time_point(duration(system_clock::now().time_since_epoch()) + duration(1970));
  }
};

template <class Rep>
constexpr bool kSigned = Rep(-1) < Rep(0);

template <class Rep>
constexpr Rep lowest() {
  if constexpr (!kSigned<Rep>) {
    return 0;
  } else if constexpr (std::same_as<Rep, Wide>) {
    return Wide{1} << 126 << 1;
  } else {
    return std::numeric_limits<Rep>::lowest();
  }
}

template <class Rep>
constexpr Rep highest() {
  if constexpr (std::same_as<Rep, Wide>) {
    return ~lowest<Wide>();
  } else if constexpr (std::same_as<Rep, UnsignedWide>) {
    return ~UnsignedWide{0};
  } else {
    return std::numeric_limits<Rep>::max();
  }
}

template <class C, class D>
struct Time {
  using Rep = typename D::rep;

  static std::vector<D> past() {
    std::vector<D> all{D(0), D(lowest<Rep>())};
    if constexpr (kSigned<Rep>) {
      all.push_back(D(-1));
    }
    if constexpr (std::floating_point<Rep>) {
      all.push_back(D(std::numeric_limits<Rep>::quiet_NaN()));
      all.push_back(D(-std::numeric_limits<Rep>::infinity()));
    }
    return all;
  }

  static std::vector<D> far() {
    std::vector<D> all{D(highest<Rep>())};
    if (D const some = seconds(3e8); some > D(0)) {  // some ticks are longer
      all.push_back(some);
    }
    if constexpr (std::floating_point<Rep>) {
      all.push_back(D(std::numeric_limits<Rep>::infinity()));
    }
    return all;
  }

  static std::vector<time_point<C, D>> past_points() {
    std::vector<time_point<C, D>> all{from_now(-1)};
    for (D const d : past()) {
      if (!(duration<long double>(d) >= C::now().time_since_epoch())) {  // some epochs are to come
        all.emplace_back(d);
      }
    }
    return all;
  }

  static std::vector<time_point<C, D>> far_points() {
    std::vector<time_point<C, D>> all;
    for (D const d : {D(highest<Rep>()), from_now(3e8).time_since_epoch()}) {
      if (duration<long double>(d) > C::now().time_since_epoch()) {  // some ticks are short
        all.emplace_back(d);
      }
    }
    if constexpr (std::floating_point<Rep>) {
      all.emplace_back(D(std::numeric_limits<Rep>::infinity()));
    }
    if constexpr (std::same_as<C, system_clock>) {
      long double const year_9999 = 253'402'214'400;
      if (year_9999 < duration<long double>(D(highest<Rep>())).count() &&
          seconds(year_9999) > D(0)) {
        all.emplace_back(seconds(year_9999));
      }
    }
    return all;
  }

  static D seconds(long double n) {
    long double const ticks = n * D::period::den / D::period::num;
    return D(ticks < static_cast<long double>(highest<Rep>()) ? static_cast<Rep>(ticks)
                                                              : highest<Rep>());
  }

  static time_point<C, D> from_now(long double n) {
    return time_point<C, D>(
        seconds(duration<long double>(C::now().time_since_epoch()).count() + n));
  }
};

// ---- Functions that wait for something

// lock() makes the function wait, unlock() ends that; get(when) is the function, and leaves things
// as they were if it got what it waited for.
template <class M>
struct LockBase {
  M m;
  void lock() { m.lock(); }
  void unlock() { m.unlock(); }
  bool got(bool yes) {
    if (yes) {
      m.unlock();
    }
    return yes;
  }
};

template <class M>
struct TryLock : LockBase<M> {
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return this->got(this->m.try_lock_for(d));
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return this->got(this->m.try_lock_until(t));
  }
};

struct TryLockShared : LockBase<hamgam::RWMutex> {
  bool got(bool yes) {
    if (yes) {
      m.unlock_shared();
    }
    return yes;
  }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(m.try_lock_shared_for(d));
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(m.try_lock_shared_until(t));
  }
};

struct GuardedTryLock {
  using Data = hamgam::Guarded<int>;
  Data data{0};
  std::unique_ptr<Data::Locked> held;  // gcc believes that an optional may be uninitialised
  void lock() { held = std::make_unique<Data::Locked>(data.lock()); }
  void unlock() { held.reset(); }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return data.try_lock_for(d).has_value();
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return data.try_lock_until(t).has_value();
  }
};

struct SemaphoreAcquire {
  hamgam::Semaphore s{1};
  void lock() { s.acquire(); }
  void unlock() { s.release(); }
  bool got(bool yes) {
    if (yes) {
      s.release();
    }
    return yes;
  }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(s.try_acquire_for(d));
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(s.try_acquire_until(t));
  }
};

struct WaitGroupWait {
  hamgam::WaitGroup wg;
  void lock() { wg.add(); }
  void unlock() { wg.done(); }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return wg.wait_for(d);
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return wg.wait_until(t);
  }
};

struct TaskWait {
  hamgam::Chan<hamgam::Unit> end;
  hamgam::Task<void> task = hamgam::spawn([] {});
  TaskWait() { task.wait(); }
  ~TaskWait() {
    if (end) {
      unlock();
    }
  }
  TaskWait(const TaskWait&) = delete;
  TaskWait& operator=(const TaskWait&) = delete;
  void lock() {
    end = hamgam::make_chan<hamgam::Unit>();
    task = hamgam::spawn([e = end] { (void)e.recv(); });
  }
  void unlock() {
    end.close();
    end = {};
  }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return task.wait_for(d);
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return task.wait_until(t);
  }
};

struct CondBase {
  hamgam::Mutex m;
  hamgam::Cond cond;
  bool ready = true;
  void lock() {
    std::lock_guard const guard(m);
    ready = false;
  }
  void unlock() {
    std::lock_guard const guard(m);
    ready = true;
    cond.notify_all();
  }
};

struct CondWait : CondBase {
  template <class When>
  bool get(const When& when) {
    std::unique_lock guard(m);
    while (!ready) {
      if (once(guard, when) == std::cv_status::timeout) {
        return ready;
      }
    }
    return true;
  }
  template <class L, class R, class P>
  std::cv_status once(L& guard, const duration<R, P>& d) {
    return cond.wait_for(guard, d);
  }
  template <class L, class C, class D>
  std::cv_status once(L& guard, const time_point<C, D>& t) {
    return cond.wait_until(guard, t);
  }
};

struct CondWaitReady : CondBase {
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    std::unique_lock guard(m);
    return cond.wait_for(guard, d, [this] { return ready; });
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    std::unique_lock guard(m);
    return cond.wait_until(guard, t, [this] { return ready; });
  }
};

struct Channel {
  hamgam::Chan<int> ch = hamgam::make_chan<int>(1);
};

struct ChanSend : Channel {
  void lock() { ch.send(1); }
  void unlock() { (void)ch.recv(); }
  bool got(bool yes) {
    if (yes) {
      (void)ch.recv();
    }
    return yes;
  }
};

struct SendRvalue : ChanSend {
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(ch.send_for(1, d));
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(ch.send_until(1, t));
  }
};

struct SendLvalue : ChanSend {
  int const value = 1;
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(hamgam::SendChan<int>(ch).send_for(value, d));
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(hamgam::SendChan<int>(ch).send_until(value, t));
  }
};

struct ChanRecv : Channel {
  ChanRecv() { ch.send(1); }
  void lock() { (void)ch.recv(); }
  void unlock() { ch.send(1); }
  bool got(bool yes) {
    if (yes) {
      ch.send(1);
    }
    return yes;
  }
};

struct Recv : ChanRecv {
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(ch.recv_for(d).value.has_value());
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(ch.recv_until(t).value.has_value());
  }
};

struct SelectTimeout : ChanRecv {
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(hamgam::select(hamgam::on_recv(ch), hamgam::on_timeout(d)) == 0);
  }
};

struct SetTimeout : ChanRecv {
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    hamgam::SelectSet set;
    auto const key = set.add(hamgam::on_recv(ch));
    set.add(hamgam::on_timeout(d));
    return got(set.wait() == key);
  }
};

struct SetWait : ChanRecv {
  hamgam::SelectSet set;
  SetWait() { set.add(hamgam::on_recv(ch)); }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(set.wait_for(d).has_value());
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(set.wait_until(t).has_value());
  }
};

// Free: the other one has arrived.
struct BarrierWait {
  hamgam::Barrier barrier{2};
  hamgam::WaitGroup other;
  bool free = false;
  BarrierWait() { unlock(); }
  ~BarrierWait() {
    if (free) {
      lock();
    }
  }
  BarrierWait(const BarrierWait&) = delete;
  BarrierWait& operator=(const BarrierWait&) = delete;
  void lock() {
    barrier.arrive_and_wait();
    other.wait();
    free = false;
  }
  void unlock() {
    free = true;
    other.go([this] { barrier.arrive_and_wait(); });
    hamgam::test::until(
        [this] { return other.wait_for(0s) || hamgam::test::count_asleep(&barrier) > 0; });
  }
  bool got(bool yes) {
    if (yes) {
      other.wait();
      unlock();
    }
    return yes;
  }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return got(barrier.arrive_and_wait_for(d));
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return got(barrier.arrive_and_wait_until(t));
  }
};

struct PoolAcquire {
  hamgam::ResourcePool<int> pool{[] { return 1; }, {.max_open = 1}};
  std::unique_ptr<hamgam::ResourcePool<int>::Lease> held;  // as above
  void lock() { held = std::make_unique<hamgam::ResourcePool<int>::Lease>(pool.acquire()); }
  void unlock() { held.reset(); }
  template <class R, class P>
  bool get(const duration<R, P>& d) {
    return pool.acquire_for(d).has_value();
  }
  template <class C, class D>
  bool get(const time_point<C, D>& t) {
    return pool.acquire_until(t).has_value();
  }
};

template <class F>
concept Waits = requires(F f) { f.unlock(); };
template <class F, class When>
concept Takes = requires(F f, When when) { f.get(when); };

// ---- Functions that let a time pass: is it over within `patience`?

struct Sleep {
  template <class When>
  static bool over(When when, hamgam::Clock::duration patience) {
    auto woke = std::make_shared<hamgam::WaitGroup>();
    woke->go([woke, when] {
      if constexpr (requires { hamgam::sleep(when); }) {
        hamgam::sleep(when);
      } else {
        hamgam::sleep_until(when);
      }
    });
    return woke->wait_for(patience);
  }
};

struct SleepStoppable {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    auto const [ctx, cancel] = hamgam::with_timeout({}, patience);
    return hamgam::sleep(d, ctx.stop_token());
  }
};

bool ticks(const hamgam::RecvChan<hamgam::TimePoint>& ch, hamgam::Clock::duration patience) {
  return ch.recv_for(patience).value.has_value();
}

struct After {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    return ticks(hamgam::after(d), patience);
  }
};

struct TimerTick {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    hamgam::Timer timer(d);
    bool const yes = ticks(timer.chan(), patience);
    EXPECT_EQ(timer.stop(), !yes);
    return yes;
  }
};

struct TimerReset {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    hamgam::Timer timer(1h);
    EXPECT_TRUE(timer.reset(d));
    bool const yes = ticks(timer.chan(), patience);
    EXPECT_EQ(timer.stop(), !yes);
    return yes;
  }
};

struct AfterFuncCall {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    auto ran = std::make_shared<hamgam::WaitGroup>();
    ran->add();
    hamgam::Timer timer = hamgam::after_func(d, [ran] { ran->done(); });
    bool const yes = ran->wait_for(patience);
    EXPECT_EQ(timer.stop(), !yes);
    return yes;
  }
};

struct AfterFuncReset {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    auto ran = std::make_shared<hamgam::WaitGroup>();
    ran->add();
    hamgam::Timer timer = hamgam::after_func(1h, [ran] { ran->done(); });
    EXPECT_TRUE(timer.reset(d));
    bool const yes = ran->wait_for(patience);
    EXPECT_EQ(timer.stop(), !yes);
    return yes;
  }
};

// Their intervals must be positive.
template <class D>
bool is_interval(const D& d) {
  return d.count() > typename D::rep(0);
}

struct TickerTick {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    if (!is_interval(d)) {
      EXPECT_THROW(hamgam::Ticker ticker(d), hamgam::Panic);
      return true;
    }
    return ticks(hamgam::Ticker(d).chan(), patience);
  }
};

struct TickerReset {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration patience) {
    hamgam::Ticker ticker(1h);
    if (!is_interval(d)) {
      EXPECT_THROW(ticker.reset(d), hamgam::Panic);
      return true;
    }
    ticker.reset(d);
    return ticks(ticker.chan(), patience);
  }
};

struct ContextDeadline {
  template <class When>
  static bool over(When when, hamgam::Clock::duration patience) {
    auto const [ctx, cancel] = make(when);
    EXPECT_TRUE(ctx.deadline().has_value());
    bool const yes = ctx.done().recv_for(patience).closed;
    EXPECT_EQ(static_cast<bool>(ctx.err()), yes);
    cancel();
    return yes;
  }
  template <class R, class P>
  static hamgam::CancelContext make(const duration<R, P>& d) {
    return hamgam::with_timeout({}, d);
  }
  template <class C, class D>
  static hamgam::CancelContext make(const time_point<C, D>& t) {
    return hamgam::with_deadline({}, t);
  }
};

// The next token comes in time, or is known not to. What is there is granted in any case.
struct RateWait {
  template <class When>
  static bool over(When when, hamgam::Clock::duration patience) {
    hamgam::RateLimiter limiter(patience > 1s ? 0.001 : 1000, 1);
    EXPECT_TRUE(granted(limiter, when));
    return !granted(limiter, when);
  }
  template <class R, class P>
  static bool granted(hamgam::RateLimiter& limiter, const duration<R, P>& d) {
    return limiter.wait_for(d);
  }
  template <class C, class D>
  static bool granted(hamgam::RateLimiter& limiter, const time_point<C, D>& t) {
    return limiter.wait_until(t);
  }
};

// What a pool keeps too long it closes. 0 or less is no limit at all.
struct PoolLimits {
  template <class R, class P>
  static bool over(const duration<R, P>& d, hamgam::Clock::duration) {
    hamgam::ResourcePool<int> made([] { return 1; }, {.max_lifetime = d, .max_idle_time = d});
    hamgam::ResourcePool<int> set([] { return 1; });
    set.set_max_lifetime(d);
    set.set_max_idle_time(d);
    for (auto* pool : {&made, &set}) {
      for (int i = 0; i < 3; ++i) {
        (void)pool->acquire();
        hamgam::yield();
      }
      auto const stats = pool->stats();
      EXPECT_EQ(stats.max_lifetime_closed + stats.max_idle_time_closed, 0U);
      EXPECT_EQ(stats.open, 1U);
    }
    return !is_interval(d);
  }
};

template <class F, class When>
concept Passes = requires(When when) { F::over(when, 1ms); };

// ---- All functions with all times

using Functions =
    testing::Types<TryLock<hamgam::Mutex>, TryLock<hamgam::RWMutex>, TryLockShared, GuardedTryLock,
                   SemaphoreAcquire, WaitGroupWait, TaskWait, CondWait, CondWaitReady, SendRvalue,
                   SendLvalue, Recv, SelectTimeout, SetTimeout, SetWait, PoolAcquire, BarrierWait,
                   Sleep, SleepStoppable, After, TimerTick, TimerReset, AfterFuncCall,
                   AfterFuncReset, TickerTick, TickerReset, ContextDeadline, RateWait, PoolLimits>;

using Times =
    std::tuple<Time<hamgam::Clock, hamgam::Clock::duration>, Time<steady_clock, std::chrono::hours>,
               Time<steady_clock, duration<std::uint64_t, std::nano>>,
               Time<steady_clock, duration<float, std::ratio<3600>>>,
               Time<system_clock, system_clock::duration>, Time<system_clock, std::chrono::days>,
               Time<system_clock, duration<std::uint64_t, std::milli>>,
               Time<system_clock, duration<double>>, Time<system_clock, duration<Wide, std::pico>>,
               Time<system_clock, duration<UnsignedWide, std::nano>>,
               Time<system_clock, duration<int, std::tera>>,
               Time<system_clock, duration<double, std::exa>>,
               Time<system_clock, duration<long long, std::atto>>,
               Time<std::filesystem::file_time_type::clock, std::chrono::seconds>,
               Time<FrameClock, FrameClock::duration>, Time<YearClock, YearClock::duration>>;

// A call of the function with one of the times; `number` of Times.
template <class F>
struct Call {
  int number;
  bool far;
  std::function<bool(F&, hamgam::Clock::duration patience)> call;
};

template <class F, class When>
void add_calls(std::vector<Call<F>>& calls, int number, bool far, const std::vector<When>& whens) {
  for (When const& when : whens) {
    if constexpr (Takes<F, When>) {
      calls.push_back({number, far, [when](F& f, auto) { return f.get(when); }});
    } else if constexpr (Passes<F, When>) {
      calls.push_back({number, far, [when](F&, auto patience) { return F::over(when, patience); }});
    }
  }
}

template <class F, class... T>
std::vector<Call<F>> all_calls(bool far, const std::tuple<T...>&) {
  std::vector<Call<F>> calls;
  int number = 0;
  (([&] {
     add_calls(calls, number, far, far ? T::far() : T::past());
     add_calls(calls, number, far, far ? T::far_points() : T::past_points());
     ++number;
   }()),
   ...);
  return calls;
}

template <class F>
class ExtremeTimes : public testing::Test {};
TYPED_TEST_SUITE(ExtremeTimes, Functions);

// What is over gives up at once, but takes what is free.
TYPED_TEST(ExtremeTimes, Past) {
  using F = TypeParam;
  hamgam::run([] {
    for (auto const& one : all_calls<F>(false, Times())) {
      F f;
      EXPECT_TRUE(one.call(f, 1h)) << one.number << " of Times";
      if constexpr (Waits<F>) {
        f.lock();
        EXPECT_FALSE(one.call(f, 1h)) << one.number << " of Times";
        std::thread([&] { EXPECT_FALSE(one.call(f, 1h)) << one.number << " of Times"; }).join();
        f.unlock();
      }
    }
  });
}

// What is far away waits.
TYPED_TEST(ExtremeTimes, Far) {
  using F = TypeParam;
  hamgam::run([] {
    for (auto const& one : all_calls<F>(true, Times())) {
      F f;
      if constexpr (Waits<F>) {
        for (Who const who : {Who::kGoroutines, Who::kThreads}) {
          f.lock();
          std::atomic<bool> begun = false;
          Crew crew(who);
          crew.start([&] {
            begun = true;
            EXPECT_TRUE(one.call(f, 1h)) << one.number << " of Times";
          });
          while (!begun) {
            hamgam::yield();
          }
          hamgam::yield();
          f.unlock();
        }
      } else {
        EXPECT_FALSE(one.call(f, 100us)) << one.number << " of Times";
      }
    }
  });
}

}  // namespace
