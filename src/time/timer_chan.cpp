// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "time/timer_chan.h"

#include <algorithm>
#include <mutex>
#include <new>

#include "base/fatal.h"

// Why no tick is lost: a receiver looks at due_ and queues itself in one hold of the channel's
// lock, and awaited() sets the alarm in the same hold. The alarm takes the lock to serve whoever
// waits then.

namespace hamgam::inline HAMGAM_ABI::detail {

// The parts are one behind the other, so that one allocation does.
struct TimerChan::Block {
  alignas(ChanCore) std::byte chan[sizeof(ChanCore)];
  alignas(TimePoint) std::byte tick[ChanCore::ring_size(sizeof(TimePoint), 1)];
  alignas(TimerChan) std::byte source[sizeof(TimerChan)];
};

namespace {

// malloc is much slower for memory that is aligned to more than it gives by itself; so we do that.
constexpr std::size_t kAlign = alignof(ChanCore);
constexpr std::size_t kGiven = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

std::byte* allocate(std::size_t size) {
  auto* const memory = static_cast<std::byte*>(::operator new(size + kAlign));
  std::size_t const shift = kAlign - reinterpret_cast<std::uintptr_t>(memory) % kAlign;
  memory[shift - 1] = static_cast<std::byte>(shift / kGiven);  // for deallocate
  return memory + shift;
}

void deallocate(std::byte* block) noexcept {
  ::operator delete(block - static_cast<std::size_t>(block[-1]) * kGiven);
}

static_assert(kAlign % kGiven == 0 && kAlign / kGiven < 256);

}  // namespace

ChanCore* TimerChan::make(Nanos due, Nanos period) {
  auto* const block = reinterpret_cast<Block*>(allocate(sizeof(Block)));
  auto* const source = reinterpret_cast<TimerChan*>(block->source);
  ChanCore* const chan =
      ChanCore::make_in(block->chan, kElementType<TimePoint>, 1, offsetof(Block, tick), *source);
  ::new (block->source) TimerChan(*chan, due, period);
  return chan;
}

TimerChan& TimerChan::of(ChanCore& chan) noexcept {
  return *reinterpret_cast<TimerChan*>(reinterpret_cast<Block*>(&chan)->source);
}

TimerChan::TimerChan(ChanCore& chan, Nanos due, Nanos period) noexcept
    : chan_(chan), due_(std::min(due, kForever - 1)), period_(period) {
  alarm_.chan = this;
  alarm_.fire = [](Timer& timer) noexcept { static_cast<Alarm&>(timer).chan->ring(); };
}

void TimerChan::dispose() noexcept {
  remove_timer(alarm_);
  auto* const block = reinterpret_cast<std::byte*>(&chan_);
  this->~TimerChan();
  reinterpret_cast<ChanCore*>(block)->~ChanCore();
  deallocate(block);
}

// The tick that is due: when it was, and what comes next. A ticker skips the ones that nobody took.
Nanos TimerChan::take_tick(Nanos time) noexcept {
  Nanos const tick = due_;
  if (period_ == 0) {
    due_ = kForever;
  } else {
    Nanos const periods = (time - due_) / period_ + 1;
    due_ = periods > (kForever - due_) / period_ ? kForever : due_ + periods * period_;
  }
  return tick;
}

void TimerChan::poll() noexcept {
  if (due_ == kForever) {
    return;
  }
  Nanos const time = now();
  if (due_ <= time) {
    TimePoint tick(Clock::duration(take_tick(time)));
    chan_.put(&tick);
  }
}

void TimerChan::awaited() noexcept {
  try {
    set_alarm();
  } catch (const std::bad_alloc&) {
    fatal("out of memory: no room for a timer");  // the receiver is queued already
  }
}

// Throws std::bad_alloc, but not from ring().
void TimerChan::set_alarm() {
  if (due_ < alarm_at_) {
    add_timer(alarm_, due_);
    alarm_at_ = due_;
  }
}

void TimerChan::ring() noexcept {
  chan_.lock();
  alarm_at_ = kForever;
  Nanos const time = now();
  if (!chan_.is_awaited()) {
    chan_.unlock();  // whoever looks next sees to it
    return;
  }
  if (due_ > time) {
    set_alarm();
    chan_.unlock();
    return;
  }
  TimePoint tick(Clock::duration(take_tick(time)));
  set_alarm();  // for those who go on waiting
  chan_.serve(&tick);
}

// True if a tick was to come or had not been received.
bool TimerChan::clear() noexcept {
  bool const pending = due_ != kForever || chan_.holds_value();
  due_ = kForever;
  if (chan_.holds_value()) {
    chan_.drop_values();
  }
  if (alarm_at_ != kForever) {
    (void)withdraw_timer(alarm_);
    alarm_at_ = kForever;
  }
  return pending;
}

bool TimerChan::stop() noexcept {
  std::lock_guard const guard(chan_);
  return clear();
}

bool TimerChan::reset(Nanos due, Nanos period) {
  std::lock_guard const guard(chan_);
  bool const pending = clear();
  due_ = std::min(due, kForever - 1);
  period_ = period;
  chan_.release_source();
  if (chan_.is_awaited()) {
    set_alarm();
  }
  return pending;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
