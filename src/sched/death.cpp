// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/death.h"

#include <cstddef>
#include <cstdint>

#include "os/fork.h"
#include "os/signals.h"
#include "os/thread.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kPatience = 10'000 * kMillisecond;

constinit atomic<int> g_teller{0};  // the thread that tells; 0: none
constinit atomic<int> g_helper{0};
constinit atomic<std::uint32_t> g_progress{0};

void keep_on_thread() noexcept {
  if (Goroutine* g = current_goroutine()) {
    ++g->pinned;
  }
}

}  // namespace

bool may_tell() noexcept {
  if (has_parents_memory()) {
    return false;
  }
  int const me = thread_id();
  // relaxed throughout: it guards nothing
  if (is_forked_child()) {  // the other one is not here
    return g_teller.exchange(me, kRelaxed) != me;
  }
  int teller = 0;
  if (g_teller.compare_exchange_strong(teller, me, kRelaxed, kRelaxed)) {
    keep_on_thread();
    return true;
  }
  if (teller != me) {
    (void)await_death();
  }
  return false;
}

// relaxed: its own number is there, or another
bool tells(int thread) noexcept { return g_teller.load(kRelaxed) == thread; }
bool tells() noexcept { return tells(thread_id()); }

// relaxed: a thread looks for its own
Helps::Helps() noexcept { g_helper.store(thread_id(), kRelaxed); }
Helps::~Helps() { g_helper.store(0, kRelaxed); }  // relaxed: a thread looks for its own

// By pieces, as who waits is to see that it gets on while somebody reads slowly.
bool tell_of_death(std::string_view text) noexcept {
  constexpr std::size_t kPiece = 4096;
  while (!text.empty()) {
    std::string_view const piece = text.substr(0, kPiece);
    if (!write_error_within(piece, kDumpPatience)) {
      return false;
    }
    note_telling();
    text.remove_prefix(piece.size());
  }
  return true;
}

void note_telling() noexcept {
  // relaxed throughout: who waits looks again
  if (int const teller = g_teller.load(kRelaxed); teller != 0) {
    if (int const me = thread_id(); me == teller || me == g_helper.load(kRelaxed)) {
      g_progress.fetch_add(1, kRelaxed);
    }
  }
}

void await_telling(Nanos patience, const atomic<bool>& over) noexcept {
  // relaxed throughout: a glance now and then
  std::uint32_t progress = g_progress.load(kRelaxed);
  for (Nanos end = now() + patience; !over.load(kRelaxed) && now() < end;) {
    if (std::uint32_t const seen = g_progress.load(kRelaxed); seen != progress) {
      progress = seen;
      end = now() + patience;
    }
    nap_thread();
  }
}

bool await_death() noexcept {
  // relaxed: a glance
  if (int const teller = g_teller.load(kRelaxed); teller == 0 || teller == thread_id()) {
    return true;
  }
  // relaxed throughout: it guards nothing. Who exits comes here again.
  static constinit atomic<bool> gave_up{false};
  if (gave_up.load(kRelaxed)) {
    return true;
  }
  static constinit atomic<bool> const never{false};
  await_telling(kPatience, never);
  return gave_up.exchange(true, kRelaxed);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
