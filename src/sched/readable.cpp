// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/readable.h"

#include <cxxabi.h>

#include <cstring>
#include <utility>

#include "os/futex.h"
#include "os/thread.h"
#include "sched/park.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kForEachByte = 400;
constexpr std::size_t kBesides = 16 * 1024;

Text demangle(const char* name) noexcept {
  int status = -1;
  return Text(abi::__cxa_demangle(name, nullptr, nullptr, &status));
}

Text demangle_elsewhere(const char* name) noexcept {
  struct Task {
    const char* name;
    Text text;
    atomic<std::uint32_t> done{0};
  } task{name, nullptr};
  bool const started = start_thread(
      "hamgam-names",
      [](void* raw) {
        TsanHide const hide;
        auto& its = *static_cast<Task*>(raw);
        its.text = demangle(its.name);
        its.done.store(1, kRelease);  // [readable.1] release, pairs with [readable.2]: the text
        futex_wake(its.done, 1);
      },
      &task, Signals::kFaults);
  while (started &&
         task.done.load(kAcquire) == 0) {  // [readable.2] acquire, pairs with [readable.1]
    futex_wait(task.done, 0);
  }
  return std::move(task.text);
}

bool has_room(std::size_t bytes) noexcept {
  const Goroutine* const g = current_goroutine();
  return g == nullptr || g->stack == nullptr ||
         static_cast<const char*>(__builtin_frame_address(0)) >= g->stack->bottom + bytes;
}

}  // namespace

Text readable(const char* name) noexcept {
  TsanIgnore const ignore;
  return has_room(kBesides + kForEachByte * std::strlen(name)) ? demangle(name)
                                                               : demangle_elsewhere(name);
}

Text readable_function(const char* name) noexcept {
  return std::strncmp(name, "_Z", 2) == 0 ? readable(name) : nullptr;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
