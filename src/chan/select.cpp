// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/random.h"
#include "chan/chan_core.h"
#include "hamgam/detail/select_ops.h"
#include "os/clock.h"
#include "wait/stop.h"

// select, in three steps.
//
// 1. Look at the channels without locks (ChanCore::readiness), choose one at random among those
//    that may be ready, lock that one alone and do it. Most selects end here.
// 2. If none is ready and the select may not wait: it must be the truth at one moment for all. Two
//    looks that found the same versions prove it for the moment between them. While others keep
//    changing the channels, lock them all, in the order of their addresses.
// 3. Else queue a waiter in each channel, one lock at a time, and park. A channel that has become
//    ready meanwhile: claim ourselves first, then the partner. If the partner turns out to be
//    taken, others may already have dropped us, as claimed: leave all queues and begin again, after
//    some times with all locks.
//
// A channel on which thousands select, such as the one that says that all is over, must not become
// a hot lock (golang/go#20351). Here a select that finds another case ready only reads a word of
// it, which stands apart from what is written and does not change while nobody sends or closes. One
// that has to wait holds its lock for some ten instructions, to link itself in and out, and never
// across another lock or the switch to the next goroutine. Bench Select/shared_done, a thousand
// pairs on each worker and every receive one that waits: 69 ns a value with one worker, 70 with two
// (Go: 183 and 187).
//
// Why no wake-up is lost: each channel was looked at and queued in under its lock, so whoever makes
// it ready later finds us there and claims us; and a claim that comes before we are off our stack
// is seen by the one step that makes us parked ([select.1]).

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kFew = 8;  // cases up to which nothing is allocated
constexpr int kGlances = 8;
constexpr int kRestarts = 3;

// Where nothing parks between the call and the use of the reference.
HAMGAM_NOINLINE std::uint32_t random_below(std::uint32_t bound) noexcept {
  static constinit atomic<std::uint64_t> seeds{1};
  thread_local Random random(seeds.fetch_add(1, kRelaxed));  // relaxed: only differs
  return random.below(bound);
}

class Cases {
 public:
  Cases(SelectOp* ops, std::size_t count) noexcept : ops_(ops), count_(count) {}
  ~Cases() { leave_queues(); }
  Cases(const Cases&) = delete;
  Cases& operator=(const Cases&) = delete;

  // Does one that is ready, or kGaveUp. `surely`: then none was ready, at one moment.
  std::size_t poll(bool surely);

  // Waits for one, until the deadline.
  std::size_t wait(Nanos deadline, const char* reason);

 private:
  enum class Step : std::uint8_t { kSleep, kDone, kAgain };

  class AllLocked;
  class Stops;

  [[nodiscard]] bool may_be_ready(SelectOp& op) const noexcept;
  [[nodiscard]] bool unchanged() const noexcept;
  [[nodiscard]] std::size_t choose() noexcept;
  bool attempt(SelectOp& op) noexcept;
  bool attempt_locked(SelectOp& op, const AllLocked& all) noexcept;
  std::size_t poll_locked(const AllLocked& all) noexcept;
  Step enter_queues() noexcept;
  void enqueue(std::uint32_t place) noexcept;
  void leave_queues() noexcept;
  void sleep(const char* reason);
  HAMGAM_NOINLINE void sleep_stoppable(std::size_t stops, const char* reason);
  std::size_t outcome() noexcept;

  SelectOp* const ops_;
  std::size_t const count_;
  bool in_queues_ = false;
  Selection me_;
};

// All the channels, locked in the order of their addresses, each once.
class Cases::AllLocked {
 public:
  explicit AllLocked(const Cases& cases) {
    ChanCore** chans = few_.data();
    if (cases.count_ > kFew) {
      many_.resize(cases.count_);
      chans = many_.data();
    }
    ChanCore** end = chans;
    for (std::size_t i = 0; i < cases.count_; ++i) {
      if (cases.ops_[i].chan != nullptr) {
        *end++ = cases.ops_[i].chan;
      }
    }
    std::sort(chans, end, std::less<>());
    first_ = chans;
    end_ = std::unique(chans, end);
    for (ChanCore** chan = first_; chan != end_; ++chan) {
      (*chan)->lock();
    }
  }
  ~AllLocked() {
    for (ChanCore** chan = first_; chan != end_; ++chan) {
      if (*chan != released_) {
        (*chan)->unlock();
      }
    }
  }
  AllLocked(const AllLocked&) = delete;
  AllLocked& operator=(const AllLocked&) = delete;

  // That one was unlocked by what was done with it.
  void released(ChanCore* chan) const noexcept { released_ = chan; }

 private:
  std::array<ChanCore*, kFew> few_{};
  std::vector<ChanCore*> many_;
  ChanCore** first_;
  ChanCore** end_;
  mutable ChanCore* released_ = nullptr;
};

// An Interrupt for each token among the cases.
class Cases::Stops {
 public:
  Stops(Cases& cases, std::size_t count) {
    std::optional<Interrupt>* next = few_.data();
    if (count > few_.size()) {
      many_ = std::vector<std::optional<Interrupt>>(count);
      next = many_.data();
    }
    for (const SelectOp* op = cases.ops_; op != cases.ops_ + cases.count_; ++op) {
      if (op->kind == SelectOp::kStop) {
        (next++)->emplace(cases.me_, *op->token);
      }
    }
  }

 private:
  std::array<std::optional<Interrupt>, 2> few_;
  std::vector<std::optional<Interrupt>> many_;
};

bool Cases::may_be_ready(SelectOp& op) const noexcept {
  if (op.kind == SelectOp::kStop) {
    return stop_requested(*op.token);
  }
  if (op.chan == nullptr) {
    return false;
  }
  op.seen = op.chan->readiness();
  return (op.seen & ChanCore::bit_of(op.kind)) != 0;
}

bool Cases::unchanged() const noexcept {
  return std::all_of(ops_, ops_ + count_, [](const SelectOp& op) {
    return op.chan == nullptr || op.chan->readiness() == op.seen;
  });
}

// One of those that may be ready, each with the same probability.
std::size_t Cases::choose() noexcept {
  std::size_t choice = kSelectGaveUp;
  std::uint32_t ready = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (may_be_ready(ops_[i]) && (++ready == 1 || random_below(ready) == 0)) {
      choice = i;
    }
  }
  return choice;
}

bool Cases::attempt(SelectOp& op) noexcept {
  if (op.kind == SelectOp::kStop) {
    return true;
  }
  ChanResult const result = op.chan->attempt(op.kind, op.value);
  op.waiter.done = result == ChanResult::kDone;
  return result != ChanResult::kGaveUp;
}

std::size_t Cases::poll(bool surely) {
  if (surely) {    // unfenced: a glance may miss
    full_fence();  // [chan.5] seq_cst, pairs with [chan.4] and itself: as for one channel
  }
  for (int glance = 0; glance < kGlances; ++glance) {
    std::size_t const choice = choose();
    if (choice == kSelectGaveUp) {
      if (!surely || count_ <= 1 || unchanged()) {
        return choice;
      }
    } else if (attempt(ops_[choice])) {
      return choice;
    }
  }
  if (!surely) {
    return kSelectGaveUp;
  }
  AllLocked const all(*this);
  return poll_locked(all);
}

bool Cases::attempt_locked(SelectOp& op, const AllLocked& all) noexcept {
  if (op.kind == SelectOp::kStop) {
    return true;
  }
  ChanResult const result = op.chan->do_locked(op, &me_);
  if (result == ChanResult::kGaveUp) {
    return false;
  }
  all.released(op.chan);
  op.waiter.done = result == ChanResult::kDone;
  return true;
}

// One that fails was held for ready because of waiters that were claimed elsewhere; they are gone
// from its queue then, and it is not chosen again. There may be thousands, as when another large
// select is about to leave: after some choices, in a row.
std::size_t Cases::poll_locked(const AllLocked& all) noexcept {
  for (int glance = 0; glance < kGlances; ++glance) {
    std::size_t const choice = choose();
    if (choice == kSelectGaveUp || attempt_locked(ops_[choice], all)) {
      return choice;
    }
  }
  std::size_t const start = random_below(static_cast<std::uint32_t>(count_));
  for (std::size_t i = 0; i < count_; ++i) {
    std::size_t const place = (start + i) % count_;
    if (may_be_ready(ops_[place]) && attempt_locked(ops_[place], all)) {
      return place;
    }
  }
  return kSelectGaveUp;
}

// Under the channel's lock.
void Cases::enqueue(std::uint32_t place) noexcept {
  SelectOp& op = ops_[place];
  op.waiter.value = op.value;
  op.waiter.sleeper = &me_;
  op.waiter.selection = &me_;
  op.waiter.place = place;
  op.chan->enqueue(op.waiter, op.kind);
  in_queues_ = true;
}

Cases::Step Cases::enter_queues() noexcept {
  auto const start = random_below(static_cast<std::uint32_t>(count_));
  for (std::size_t i = 0; i < count_ && !me_.is_claimed(); ++i) {
    auto const place = static_cast<std::uint32_t>((start + i) % count_);
    SelectOp& op = ops_[place];
    if (op.chan == nullptr) {
      continue;
    }
    op.chan->lock();
    if (HAMGAM_LIKELY(!op.chan->may_do_locked(op.kind, &me_))) {
      enqueue(place);
      op.chan->unlock();
      continue;
    }
    if (!me_.claim_own(place)) {
      op.chan->unlock();
      return Step::kSleep;  // which it will not: it is claimed
    }
    ChanResult const result = op.chan->do_locked(op, &me_);
    if (result == ChanResult::kGaveUp) {
      op.chan->unlock();
      return Step::kAgain;
    }
    op.waiter.done = result == ChanResult::kDone;
    return Step::kDone;
  }
  return Step::kSleep;
}

void Cases::leave_queues() noexcept {
  if (!in_queues_) {
    return;
  }
  for (SelectOp* op = ops_; op != ops_ + count_; ++op) {
    if (op->waiter.sleeper != nullptr) {
      op->chan->lock();
      op->chan->dequeue(op->waiter, op->kind);
      op->chan->unlock();
      op->waiter.sleeper = nullptr;
    }
  }
  in_queues_ = false;
}

void Cases::sleep(const char* reason) {
  auto const stops = static_cast<std::size_t>(std::count_if(
      ops_, ops_ + count_, [](const SelectOp& op) { return op.kind == SelectOp::kStop; }));
  if (HAMGAM_LIKELY(stops == 0)) {
    me_.sleep(reason);
  } else {
    sleep_stoppable(stops, reason);
  }
}

void Cases::sleep_stoppable(std::size_t stops, const char* reason) {
  Stops const interrupts(*this, stops);
  me_.sleep(reason);
}

std::size_t Cases::wait(Nanos deadline, const char* reason) {
  for (int restarts = 0;; ++restarts) {
    Step step = Step::kSleep;
    if (restarts < kRestarts) {
      step = enter_queues();
    } else {
      AllLocked const all(*this);
      std::size_t const choice = poll_locked(all);
      if (choice != kSelectGaveUp) {
        return choice;
      }
      for (std::uint32_t i = 0; i < count_; ++i) {
        if (ops_[i].chan != nullptr) {
          enqueue(i);
        }
      }
    }
    if (step == Step::kDone) {
      return me_.winner();
    }
    if (step == Step::kSleep) {
      break;
    }
    leave_queues();
    me_.reopen();
  }
  try {
    Interrupt const alarm(me_, deadline);
    sleep(reason);
  } catch (...) {  // no memory for the alarm; but if a partner has claimed us, that counts
    if (me_.claim_own(0)) {
      throw;
    }
  }
  return outcome();
}

std::size_t Cases::outcome() noexcept {
  if (me_.has_winner()) {
    SelectOp& op = ops_[me_.winner()];
    if (me_.was_early()) {
      op.chan->lock();  // the partner is done when it has unlocked
      op.chan->unlock();
    }
    op.waiter.sleeper = nullptr;  // it is off its queue
    tsan_acquire(&op.waiter);
    op.chan->acquire_source();
    if (!op.waiter.done) {
      tsan_acquire(op.chan);
    }
    return me_.winner();
  }
  if (me_.was_stopped()) {
    const SelectOp* const stopped = std::find_if(ops_, ops_ + count_, [](const SelectOp& op) {
      return op.kind == SelectOp::kStop && stop_requested(*op.token);
    });
    return static_cast<std::size_t>(stopped - ops_);
  }
  return kSelectGaveUp;
}

ChanResult result_of(const SelectOp& op) noexcept {
  return op.waiter.done ? ChanResult::kDone : ChanResult::kClosed;
}

const char* reason_of(const SelectOp& op) noexcept {
  if (op.kind == SelectOp::kSend) {
    return op.chan != nullptr ? "chan send" : "chan send (nil chan)";
  }
  return op.chan != nullptr ? "chan receive" : "chan receive (nil chan)";
}

std::size_t select_for(SelectOp* ops, std::size_t count, Nanos deadline, const char* reason) {
#if HAMGAM_TSAN_USER
  for (std::size_t i = 0; i < count; ++i) {
    if (ops[i].kind == SelectOp::kSend && ops[i].chan != nullptr) {
      ops[i].chan->note_send();
    }
  }
#endif
  Cases cases(ops, count);
  bool const waits = deadline == kForever || (deadline > 0 && deadline > now());
  std::size_t const choice = cases.poll(!waits);
  return choice != kSelectGaveUp || !waits ? choice : cases.wait(deadline, reason);
}

}  // namespace

std::size_t select_ops(SelectOp* ops, std::size_t count, std::int64_t deadline) {
  if (count == 0 && deadline == kForever) {
    sleep_for_ever("select (no cases)");
  }
  return select_for(ops, count, deadline, "select");
}

ChanResult chan_wait(SelectOp& op, std::int64_t deadline) {
  return select_for(&op, 1, deadline, reason_of(op)) == 0 ? result_of(op) : ChanResult::kGaveUp;
}

ChanResult chan_wait(SelectOp& op, const std::stop_token& token) {
  // Only one that would have to wait looks at the token.
  if (select_for(&op, 1, 0, reason_of(op)) == 0) {
    return result_of(op);
  }
  std::array<SelectOp, 2> ops{op, SelectOp(token)};
  return select_for(ops.data(), 2, kForever, reason_of(op)) == 0 ? result_of(ops[0])
                                                                 : ChanResult::kGaveUp;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
