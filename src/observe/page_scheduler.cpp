// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fiber/stack.h"
#include "hamgam/observe.h"
#include "observe/page_parts.h"
#include "os/memory.h"
#include "sched/dump.h"
#include "sched/goroutine.h"
#include "sched/readable.h"

// Numbers, times, and what stacks take.

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kBar = 40;
constexpr std::size_t kDeepest = 20;
constexpr std::size_t kKiB = 1024;

// `width` columns, to the right.
std::string padded(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string text_of(double nanos) {
  constexpr const char* kUnits[] = {"ns", "us", "ms", "s"};
  std::size_t unit = 0;
  for (; nanos >= 1000 && unit + 1 < std::size(kUnits); ++unit) {
    nanos /= 1000;
  }
  char text[32];
  std::snprintf(text, sizeof text, nanos < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", nanos,
                kUnits[unit]);
  return text;
}

std::string text_of(std::chrono::nanoseconds time) {
  return text_of(static_cast<double>(time.count()));
}

std::string line_of(const std::string& label, std::uint64_t count, std::uint64_t most) {
  auto const length = (count * kBar + most - 1) / most;
  return padded(label, 18) + padded(std::to_string(count), 12) + (length != 0 ? "  " : "") +
         std::string(length, '#') + "\n";
}

std::string text_of(const observe::Histogram& times, const char* title, const char* what) {
  std::uint64_t const total = times.total();
  std::string text = std::string(title) + ": " + std::to_string(total) + " " + what;
  if (total == 0) {
    return text + "; HAMGAM_DEBUG=waits or observe::profile_waits() counts them\n";
  }
  text += "; half took " + text_of(times.quantile(0.5)) + " at most, 99 % " +
          text_of(times.quantile(0.99)) + ", all " + text_of(times.quantile(1)) + "\n";
  auto const filled = [](std::uint64_t count) { return count != 0; };
  auto const first = std::find_if(times.counts.begin(), times.counts.end(), filled);
  auto const end = std::find_if(times.counts.rbegin(), times.counts.rend(), filled).base();
  std::uint64_t const most = *std::max_element(first, end);
  for (auto count = first; count != end; ++count) {
    auto const bits = count - times.counts.begin();
    text +=
        line_of("under " + text_of(static_cast<double>(std::uint64_t{1} << bits)), *count, most);
  }
  return text;
}

struct StackUse {
  std::uint64_t id;
  const Stack* stack;
  const void* created_at;
  std::string name;
  std::size_t touched = 0;
};

std::vector<StackUse> stack_uses() {
  TsanIgnore const ignore;  // records change meanwhile
  std::vector<StackUse> all;
  for_each_record(
      [](Goroutine& g, void* raw) {
        std::uint64_t const id = g.id.load(kRelaxed);  // relaxed: a glance
        const Stack* const stack = g.stack;            // these are never freed
        if (id != 0 && stack != nullptr) {
          char name[128] = {};
          if (g.extras != nullptr) {
            copy_name(g, name, sizeof name);
          }
          static_cast<std::vector<StackUse>*>(raw)->push_back({id, stack, g.created_at, name});
        }
      },
      &all);
  for (StackUse& use : all) {
    use.touched = touched_bytes(use.stack->bottom, use.stack->bottom + use.stack->size);
  }
  std::sort(all.begin(), all.end(), [](const StackUse& a, const StackUse& b) {
    return std::pair(b.touched, a.id) < std::pair(a.touched, b.id);
  });
  return all;
}

}  // namespace

PageReply scheduler_page(const PageRequest& request) {
  observe::Stats const s = observe::stats();
  std::string text;
  auto const line = [&text](std::string_view name, std::uint64_t value) {
    text += std::string(name) + std::string(20 - name.size(), ' ') + std::to_string(value) + "\n";
  };
  line("goroutines", s.goroutines);
  line("  running", s.running);
  line("  runnable", s.runnable);
  line("  waiting", s.waiting);
  line("  blocking", s.blocking);
  line("workers", s.workers);
  line("  running", s.workers_running);
  line("  asleep", s.workers_asleep);
  line("  blocked", s.workers_blocked);
  line("max_procs", s.max_procs);
  line("spawned", s.spawned);
  line("parks", s.parks);
  line("steals", s.steals);
  line("timers", s.timers);
  line("stacks", s.stacks);
  line("stacks_used", s.stacks_used);
  line("stack_bytes", s.stack_bytes);
  return reply_of(
      request,
      {"Scheduler",
       {text,
        text_of(s.scheduler_latency, "scheduler latency", "starts and wake-ups until they ran"),
        text_of(s.lock_waits, "lock waits", "sleeps for a Mutex or RWMutex")}});
}

PageReply stacks_page(const PageRequest& request) {
  TsanIgnore const ignore;  // the stacks are others'
  std::vector<StackUse> const all = stack_uses();
  Page page{std::to_string(all.size()) + (all.size() == 1 ? " stack" : " stacks") +
                " that goroutines have",
            {}};
  std::size_t bytes = 0;
  std::map<std::size_t, std::uint64_t> counts;  // by the power of two that is enough
  std::uint64_t most = 1;
  for (const StackUse& use : all) {
    bytes += use.touched;
    std::size_t enough = 4 * kKiB;
    while (enough < use.touched) {
      enough *= 2;
    }
    most = std::max(most, ++counts[enough]);
  }
  std::string text = "memory that was touched, " + std::to_string(bytes / kKiB) +
                     " KiB together, if only by goroutines that had the stack before;\n"
                     "those that sleep for long have given back what they do not use\n";
  for (auto const& [enough, count] : counts) {
    text += line_of("up to " + std::to_string(enough / kKiB) + " KiB", count, most);
  }
  page.paragraphs.push_back(std::move(text));
  Symbols symbols;
  text = "the deepest\n";
  for (std::size_t i = 0; i < std::min(all.size(), kDeepest); ++i) {
    const StackUse& use = all[i];
    text += padded(std::to_string(use.touched / kKiB) + " of " +
                       std::to_string(use.stack->size / kKiB) + " KiB",
                   18) +
            "  goroutine " + std::to_string(use.id) +
            (use.name.empty() ? "" : " \"" + printable(use.name) + "\"");
    auto const& created = symbols.at(static_cast<const char*>(use.created_at) - 1);
    text += created.owner == Symbols::kOthers ? ", created at " + created.function + "\n" : "\n";
  }
  if (!all.empty()) {
    page.paragraphs.push_back(std::move(text));
  }
  return reply_of(request, page);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
