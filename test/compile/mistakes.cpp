// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Typical mistakes, one for each macro, and the words in which they are refused. mistakes_test
// finds them by the form of the lines; without a macro the program is right.
#include <hamgam/hamgam.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;

[[maybe_unused]] void append(std::string& text) { text += '!'; }

struct NoHash {
  bool operator==(const NoHash&) const = default;
};
struct NoEqual {};

struct MayThrow {
  MayThrow() = default;
  MayThrow(const MayThrow&) {}
};

struct Unmovable {
  Unmovable() = default;
  Unmovable(const Unmovable&) = delete;
};

struct Padded {
  char small = 0;
  int big = 0;
};

[[maybe_unused]] void mistakes() {
  [[maybe_unused]] std::string text;
  [[maybe_unused]] hamgam::WaitGroup group;
  [[maybe_unused]] auto chan = hamgam::make_chan<std::string>();

#if defined(GO_COPIES)
  // says: pass std::ref(x)
  hamgam::go(append, text);
#elif defined(GO_WITH_OPTIONS_COPIES)
  // says: pass std::ref(x)
  hamgam::go(hamgam::GoOptions{}, append, text);
#elif defined(GO_COPIES_FOR_A_LAMBDA)
  // says: pass std::ref(x)
  hamgam::go([](auto& t) { append(t); }, text);
#elif defined(WAITGROUP_GO_COPIES)
  // says: pass std::ref(x)
  group.go(append, text);
#elif defined(ERRGROUP_GO_COPIES)
  // says: pass std::ref(x)
  hamgam::ErrGroup errors;
  errors.go(append, text);
#elif defined(ERRGROUP_GO_RETURNS_A_NUMBER)
  // says: std::error_code
  hamgam::ErrGroup errors;
  errors.go([] { return 1; });
#elif defined(SPAWN_COPIES)
  // says: pass std::ref(x)
  auto task = hamgam::spawn(append, text);
#elif defined(SPAWN_RETURNS_WHAT_CANNOT_BE_MOVED)
  // says: its type must be movable
  auto task = hamgam::spawn([] { return Unmovable(); });
#elif defined(GO_WITHOUT_ITS_ARGUMENT)
  // says: the function can't be called with these arguments
  hamgam::go([](int n) { return n; });
#elif defined(GO_OF_AN_OVERLOADED_MEMBER)
  // says: call the one that is meant in a lambda
  hamgam::go(&hamgam::WaitGroup::wait, &group);
#elif defined(SPAWN_OF_AN_OVERLOADED_MEMBER)
  // says: call the one that is meant in a lambda
  auto task = hamgam::spawn(&hamgam::WaitGroup::wait, &group);
#elif defined(RUN_WITH_A_PARAMETER)
  // says: the function that run calls takes no arguments
  hamgam::run([](int) {});
#elif defined(RUN_RETURNS_A_STRING)
  // says: the function that run calls returns int, or nothing
  hamgam::run([] { return std::string(); });
#elif defined(BLOCKING_WITH_A_PARAMETER)
  // says: the function that blocking calls takes no arguments
  hamgam::blocking([](int) {});
#elif defined(SLEEP_OF_A_NUMBER)
  // says: a number has no unit: sleep(1s), sleep(10ms)
  hamgam::sleep(1);
#elif defined(ON_RECV_TAKES_A_VALUE)
  // says: the function of on_recv takes std::optional<T>
  hamgam::select(hamgam::on_recv(chan, [](std::string) {}));
#elif defined(ON_RECV_OF_A_TEMPORARY_TAKES_A_VALUE)
  // says: the function of on_recv takes std::optional<T>
  hamgam::select(hamgam::on_recv(hamgam::after(1s), [](hamgam::TimePoint) {}));
#elif defined(ON_SEND_TAKES_A_VALUE)
  // says: the function of on_send takes no arguments
  hamgam::select(hamgam::on_send(chan, text, [](std::string) {}));
#elif defined(ON_TIMEOUT_TAKES_A_VALUE)
  // says: the function of on_timeout takes no arguments
  hamgam::select(hamgam::on_timeout(1s, [](int) {}));
#elif defined(CHAN_OF_VOID)
  // says: use Chan<Unit> where there is nothing to send
  auto done = hamgam::make_chan<void>();
#elif defined(CHAN_OF_A_REFERENCE)
  // says: a channel's values are objects
  hamgam::Chan<int&> references;
#elif defined(CHAN_OF_WHAT_MAY_THROW)
  // says: declare the move constructor noexcept
  auto throwing = hamgam::make_chan<MayThrow>();
#elif defined(MAP_WITHOUT_HASH)
  // says: K has no hash: specialise std::hash<K>
  hamgam::Map<NoHash, int> map;
#elif defined(MAP_WITHOUT_EQUAL)
  // says: K has no ==
  struct Hash {
    std::size_t operator()(const NoEqual&) const { return 0; }
  };
  hamgam::Map<NoEqual, int, Hash> map;
#elif defined(MAP_OF_UNIQUE_PTR)
  // says: use a V that can be copied, such as std::shared_ptr<T>
  hamgam::Map<int, std::unique_ptr<int>> map;
  map.store(1, std::make_unique<int>(2));
  auto found = map.load(1);
#elif defined(ATOMIC_OF_A_STRING)
  // says: T must be trivially copyable
  hamgam::Atomic<std::string> atomic;
#elif defined(ATOMIC_OF_PADDING)
  // says: T needs an operator==, which may be = default
  hamgam::Atomic<Padded> padded;
  (void)padded.compare_and_swap({}, {});
#elif defined(GUARDED_BY_A_MUTEX_SHARED)
  // says: a Mutex can't be shared: say Guarded<T, RWMutex>
  const hamgam::Guarded<std::string> guarded;
  auto locked = guarded.lock_shared();
#elif defined(GUARD_WITHOUT_A_NAME)
  // says: nodiscard
  hamgam::Mutex mutex;
  hamgam::LockGuard{mutex};
#elif defined(TASK_DROPPED)
  // says: nodiscard
  hamgam::spawn([] {});
#endif
}

}  // namespace

int main() { return 0; }
