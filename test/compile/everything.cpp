// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Uses everything that the headers offer, once and right, so that every template is instantiated:
// headers_test compiles it in the ways of other people's projects. Values are of a type that is
// given no pointer by & and has nothing but what is asked of it.
#include <hamgam/hamgam.h>
#include <hamgam/version.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <source_location>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

// As smart pointers of COM do: & is not the address.
class Handle {
 public:
  Handle() = default;
  explicit Handle(int value) : value_(value) {}
  Handle(const Handle&) = default;
  Handle(Handle&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Handle& operator=(const Handle&) = default;
  Handle& operator=(Handle&& other) noexcept {
    value_ = std::exchange(other.value_, -1);
    return *this;
  }
  ~Handle() = default;

  int* operator&() { return &g_decoy; }              // NOLINT: that is the point
  const int* operator&() const { return &g_decoy; }  // NOLINT
  bool operator==(const Handle& other) const { return value_ == other.value_; }
  [[nodiscard]] int value() const { return value_; }

  static int decoy() { return g_decoy; }

 private:
  inline static int g_decoy = 0;
  int value_ = 0;
};

}  // namespace

template <>
struct std::hash<Handle> {
  std::size_t operator()(const Handle& h) const noexcept {
    return static_cast<std::size_t>(h.value());
  }
};

namespace {

int g_failures = 0;

void check(bool right, std::source_location at = std::source_location::current()) {
  if (!right) {
    std::fprintf(stderr, "line %u is wrong\n", static_cast<unsigned>(at.line()));
    ++g_failures;
  }
}

// Types that hold handles to things of their own kind.
struct Request {
  int n = 0;
  hamgam::Chan<Request> reply{};
};
struct Tree {
  std::vector<hamgam::Chan<Tree>> parts{};
  hamgam::SendChan<Tree> up{};
  hamgam::RecvChan<Tree> down{};
  std::optional<hamgam::Chan<Tree>> maybe{};
  std::shared_ptr<hamgam::Map<int, Tree>> map{};
  std::shared_ptr<hamgam::Pool<Tree>> pool{};
  std::shared_ptr<hamgam::AtomicValue<Tree>> published{};
  std::vector<hamgam::Task<Tree>> tasks{};

  Tree() = default;
  Tree(Tree&&) noexcept = default;
  Tree& operator=(Tree&&) noexcept = default;
  Tree(const Tree& /*unused*/) {}
  Tree& operator=(const Tree&) = delete;
  ~Tree() = default;
};

void locks() {
  hamgam::Mutex mutex;
  { const std::lock_guard lock(mutex); }
  { const hamgam::LockGuard lock(mutex); }
  { const std::unique_lock lock(mutex, 1ms); }
  { const std::unique_lock lock(mutex, std::chrono::system_clock::now() + 1ms); }
  check(mutex.try_lock(std::stop_token()));
  check(!mutex.try_lock_for(1us));
  mutex.unlock();

  hamgam::RWMutex rw;
  { const std::shared_lock lock(rw, 1ms); }
  { const std::shared_lock lock(rw, std::chrono::steady_clock::now() + 1ms); }
  { const hamgam::SharedLockGuard lock(rw); }
  rw.lock();
  rw.downgrade();
  check(rw.try_lock_shared(std::stop_token()));
  rw.unlock_shared();
  rw.unlock_shared();

  hamgam::Guarded<Handle> handle(5);
  check(handle.lock()->value() == 5);
  check(handle.lock().get().value() == 5);
  check(handle.with([](Handle& h) { return h.value(); }) == 5);
  check(handle.try_lock().has_value());
  check(handle.try_lock_for(1ms).has_value());
  check(handle.try_lock_until(hamgam::Clock::now()).has_value());
  check(handle.try_lock(std::stop_token()).has_value());
  hamgam::Guarded<std::vector<Handle>, hamgam::RWMutex> many(3U);
  for (const Handle& h : many.lock_shared()) {
    check(h.value() == 0);
  }
  const Handle& first = many.with_shared([](const auto& v) -> const Handle& { return v.front(); });
  check(first.value() == 0);

  hamgam::Cond changed;
  auto locked = handle.lock();
  check(changed.wait_for(locked, 1us) == std::cv_status::timeout);
  check(!changed.wait_for(locked, 1us, [] { return false; }));
  check(changed.wait_until(locked, hamgam::Clock::now(), [] { return true; }));
  check(changed.wait(locked, std::stop_token(), [] { return true; }));
  changed.wait(locked, [] { return true; });
  std::unique_lock writer(rw);
  check(changed.wait_for(writer, 1us) == std::cv_status::timeout);
  changed.notify_one();
  changed.notify_all();

  hamgam::Semaphore semaphore(2);
  semaphore.acquire();
  check(semaphore.try_acquire() && !semaphore.try_acquire_for(1us));
  check(!semaphore.try_acquire_until(std::chrono::system_clock::now()));
  semaphore.release(2);
  {
    hamgam::SemaphoreGuard guard(semaphore);
    check(semaphore.try_acquire());
    hamgam::SemaphoreGuard other(semaphore, std::adopt_lock);
    other = std::move(guard);
    check(other.count() == 1 && semaphore.try_acquire());
    semaphore.release();
  }

  hamgam::Barrier barrier(1, [] {});
  barrier.arrive_and_wait();
  check(barrier.arrive_and_wait_for(1us) && barrier.arrive_and_wait(std::stop_token()));
  check(barrier.arrive_and_wait_until(std::chrono::system_clock::now()));
  barrier.arrive_and_drop();

  hamgam::RateLimiter limiter(1e6, 10);
  limiter.wait();
  check(limiter.allow() && limiter.wait_for(1s) && limiter.wait(std::stop_token()));
  check(limiter.wait_until(std::chrono::system_clock::now() + 1h));
  auto reservation = limiter.reserve(2);
  check(reservation.ok() && reservation.delay() >= 0ns);
  reservation.cancel();
  limiter.set_limit(1);
  limiter.set_burst(1);
  check(limiter.limit() == 1 && limiter.burst() == 1 && limiter.tokens() <= 1);
}

void once() {
  hamgam::Once once;
  once.call([](int n) -> int& { return g_failures += n; }, 0);
  check(once.done());
  const auto func = hamgam::once_func([] { return 1; });
  func();
  const auto value = hamgam::once_value([] { return Handle(4); });
  check(value().value() == 4);
  const auto reference = hamgam::once_value([]() -> int& { return g_failures; });
  check(reference() == g_failures);
}

void goroutines() {
  hamgam::WaitGroup group;
  int sum = 0;
  auto add = [](int& to, int n) -> int& { return to += n; };
  group.go(add, std::ref(sum), 1);
  group.wait();
  group.go(hamgam::GoOptions{.name = "named"}, [&sum]() -> int& { return ++sum; });
  check(group.wait_for(10s) && group.wait_until(hamgam::Clock::now()));
  check(group.wait(std::stop_token()));
  group.add();
  hamgam::go([&group] { group.done(); });
  group.wait();
  group.add();
  hamgam::go(hamgam::GoOptions{}, &hamgam::WaitGroup::done, &group);
  group.wait();
  check(&hamgam::blocking([&sum]() -> int& { return sum; }) == &sum);

  auto task = hamgam::spawn([](const Handle& h) { return h; }, Handle(4));
  check(task.get().value() == 4);
  auto reference = hamgam::spawn([&sum]() -> int& { return sum; });
  check(&reference.get() == &sum);
  auto nothing = hamgam::spawn(hamgam::GoOptions{}, [] {});
  check(nothing.wait_for(10s) && nothing.done());
  check(nothing.wait_until(hamgam::Clock::now()) && nothing.wait(std::stop_token()));

  hamgam::ErrGroup errors;
  errors.set_limit(4);
  errors.go([] {});
  errors.go([] { return std::error_code(); });
  errors.go([] { return std::error_code(); });
  check(errors.try_go([] {}));
  errors.wait();
  hamgam::SingleFlight<Handle, int> flights;
  check(flights.call(Handle(1), [] { return 3; }).value == 3);
  flights.forget(Handle(1));
  hamgam::yield();
}

void values() {
  hamgam::Atomic<int> number(1);
  check(number.add(2) == 3 && number.bit_and(1) == 3 && number.bit_or(2) == 1);
  check(number.swap(5) == 3 && number.compare_and_swap(5, 6) && number.load() == 6);
  number.wait(0);
  number.notify_all();
  hamgam::Atomic<const char*> pointer;
  pointer.store("");
  hamgam::AtomicValue<Handle> whole(Handle(3));
  check(whole.load()->value() == 3 && whole.swap(Handle(4))->value() == 3);
  hamgam::Counter counter;
  counter.add();
  check(counter.value() == 1);

  hamgam::Map<Handle, Handle> map;
  map.store(Handle(1), Handle(2));
  check(map.load(Handle(1))->value() == 2);
  check(map.load_or_store(Handle(1), Handle(3)).second);
  check(map.swap(Handle(1), Handle(4))->value() == 2);
  check(map.compare_and_swap(Handle(1), Handle(4), Handle(5)));
  map.for_each([](const Handle& key, const Handle& value) { check(key.value() < value.value()); });
  check(map.compare_and_erase(Handle(1), Handle(5)) && !map.load_and_erase(Handle(1)));
  check(!map.erase(Handle(1)) && map.size() == 0);
  map.clear();

  hamgam::Pool<Handle> pool([] { return std::make_unique<Handle>(7); }, [](Handle&) {},
                            hamgam::PoolOptions{}, [](const Handle&) { return std::size_t{1}; });
  check(pool.get()->value() == 7);
  pool.put(pool.take());
  check(pool.trim() <= 1);
  hamgam::Pool<Handle> plain;
  check(plain.get().release()->value() == 0);

  hamgam::ResourcePool<Handle> resources([] { return Handle(3); }, {.max_open = 2},
                                         [](Handle& h) { return h.value() == 3; });
  check(resources.acquire()->value() == 3);
  check(resources.try_acquire().has_value());
  check(resources.acquire_for(1ms).value()->value() == 3);
  check(resources.acquire_until(std::chrono::system_clock::now()).has_value());
  check(resources.acquire(std::stop_token()).has_value());
  check(resources.stats().open == 1);
  resources.set_max_lifetime(1h);
  resources.set_max_idle_time(1h);
  hamgam::ResourcePool<Handle>::Lease lease;
  lease = resources.acquire();
  lease.discard();
  check(!lease && lease.get() == nullptr);
  hamgam::Pool<Handle>::Lease none;
  none = plain.get();
  check((*none).value() == 0);
}

void channels() {
  auto chan = hamgam::make_chan<Handle>(16);
  const Handle one(1);
  chan.send(one);
  chan.send(Handle(2));
  check(chan.try_send(one) && chan.try_send(Handle(4)));
  check(chan.send_for(one, 1ms) && chan.send_for(Handle(6), 1ms));
  check(chan.send_until(one, hamgam::Clock::now()));
  check(chan.send_until(Handle(8), std::chrono::system_clock::now()));
  check(chan.send(one, std::stop_token()) && chan.send(Handle(10), std::stop_token()));
  check(chan.recv()->value() == 1 && chan.try_recv().value->value() == 2);
  check(chan.recv_for(1s).value->value() == 1);
  check(chan.recv_until(hamgam::Clock::now()).value->value() == 4);
  check(chan.recv(std::stop_token()).value->value() == 1);
  check(chan.len() == 5 && chan.cap() == 16);

  const auto got = [](std::optional<Handle> h) { check(h && h->value() == 6); };
  check(hamgam::select(hamgam::on_recv(chan, got)) == 0);
  hamgam::select(hamgam::on_send(chan, one), hamgam::on_timeout(10s));
  hamgam::select(hamgam::on_send(chan, Handle(9), [] {}), hamgam::on_stop(std::stop_token()));
  hamgam::select(hamgam::on_recv(chan, [] {}), hamgam::otherwise([] { check(false); }));
  hamgam::SelectSet set;
  set.add(hamgam::on_recv(chan));
  set.add(hamgam::on_send(hamgam::Chan<Handle>(), Handle(1)));
  set.remove(set.add(hamgam::on_timeout(1h)));
  check(set.wait() == 0 && set.wait_for(1s) == 0 && set.wait_until(hamgam::Clock::now()) == 0);
  check(set.size() == 2);
  chan.close();
  for (Handle h : chan) {
    check(h.value() > 0);
  }

  auto requests = hamgam::make_chan<Request>(1);
  requests.send({2, hamgam::make_chan<Request>(1)});
  check(requests.recv()->n == 2);
  auto trees = hamgam::make_chan<Tree>(1);
  trees.send(Tree());
  check(trees.recv().has_value());
}

void time() {
  hamgam::sleep(1us);
  check(hamgam::sleep(1us, std::stop_token()));
  hamgam::sleep_until(std::chrono::system_clock::now());
  hamgam::after(1us).recv();
  hamgam::Timer timer(1h);
  check(timer.stop() && !timer.reset(1h));
  hamgam::Ticker ticker(1h);
  ticker.reset(2h);
  hamgam::Timer func;
  func = hamgam::after_func(1h, [] {});
  check(func.stop());

  static constexpr hamgam::ContextKey<Handle> kKey;
  auto [ctx, cancel] = hamgam::with_timeout(hamgam::Context::background(), 1h);
  auto late = hamgam::with_deadline(ctx, std::chrono::system_clock::now() + 1h);
  const auto with = hamgam::with_value(late.ctx, kKey, Handle(9));
  check(with.value(kKey)->value() == 9 && with.deadline().has_value() && !with.cause());
  const auto registered = hamgam::after_func(hamgam::without_cancel(with), [] {});
  check(registered.stop());
  { const hamgam::CancelGuard guard(cancel); }
  check(with.err() == std::errc::operation_canceled && !with.done().recv());
}

template <class Stream>
void streams(const Stream& a, const Stream& b) {
  std::array<std::byte, 2> bytes{};
  const std::array<std::span<const std::byte>, 2> pieces{bytes, bytes};
  a.set_deadline(hamgam::Clock::now() + 1h);
  a.write_all(std::span<const std::byte>(bytes));
  check(a.write_all_for(pieces, 1h) == 4U && a.write_all_until(bytes, hamgam::Clock::now()) == 2U);
  check(a.write_some_for(bytes, 1h) == 2U && a.write_all(pieces, std::stop_token()) == 4U);
  check(b.read_exact(bytes) == 2 && b.read_exact_for(bytes, 1h) == 2U);
  check(b.read_exact_until(bytes, std::chrono::system_clock::now()) == 2U);
  check(b.read_exact(bytes, std::stop_token()) == 2U && b.read_some_for(bytes, 1h) == 2U);
  check(b.read_some(bytes, std::stop_token()) == 2U && b.read_some(bytes) == 2);
  check(!b.read_some_until(bytes, hamgam::Clock::now()) && b.idle());
  a.shutdown_write();
  check(hamgam::net::copy(b, a) == 0 && hamgam::net::Stream<Stream>);
}

void sockets() {
  namespace net = hamgam::net;
  const auto listener = net::TcpListener::bind("127.0.0.1:0", {.backlog = 4});
  const std::string address = listener.address().to_string();
  const auto dialed = net::TcpConn::dial(address, {.no_delay = false});
  streams(dialed, listener.accept());
  const auto late = net::TcpConn::dial_until(address, hamgam::Clock::now() + 1h);
  const auto peer = listener.accept_for(1h);
  check(late.has_value() && peer.has_value());
  check(!listener.accept_until(std::chrono::system_clock::now()).has_value());
  const auto [one, other] = net::pipe();
  streams(one, other);
  check(net::Address::parse(address).is_ipv4() && net::resolve_for(address, 1h)->size() == 1);
  check(net::wait_writable_for(late->fd(), 1h) && !net::wait_readable_for(late->fd(), 1us));
  const auto socket = net::UdpSocket::bind("127.0.0.1:0");
  std::array<std::byte, 2> bytes{};
  check(socket.send_to_for(bytes, socket.local_address(), 1h));
  check(socket.receive_from_for(bytes, 1h)->bytes == 2);
  std::error_code error;
  check(!hamgam::file::read_all("/nowhere", error).empty() || error);
  check(hamgam::file::read_all_for("/proc/self/comm", 1h)->ends_with('\n'));
}

void the_process() {
  hamgam::Signals taken({SIGUSR1}, 1);
  std::raise(SIGUSR1);
  check(taken.chan().recv() == SIGUSR1);
  taken.stop();
  check(!hamgam::with_signals(hamgam::Context::background(), {SIGUSR2}).ctx.err());
  { hamgam::observe::NoParkScope const no_waits; }
  hamgam::observe::LeakCheck leaks;
  check(leaks.allow("sleep").leaks(0ns).empty());
  check(hamgam::observe::stats().goroutines >= 1 && !hamgam::observe::goroutines().empty());
}

}  // namespace

int main() {
  const int status = hamgam::run([] {
    locks();
    once();
    goroutines();
    values();
    channels();
    time();
    sockets();
    the_process();
    return g_failures;
  });
  return status == 0 && Handle::decoy() == 0 ? 0 : 1;
}
