// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/scale.h"

// A profiler that unwinds in its signal handler, as gperftools and pprof do, crashed when the
// signal came in the middle of a switch to a fresh stack.

namespace hamgam {
namespace {

using test::in_child;

constexpr int kMostFrames = 60;
std::atomic<long> g_samples{0};
std::atomic<long> g_endless{0};

_Unwind_Reason_Code count_frame(_Unwind_Context* context, void* raw) {
  auto* frames = static_cast<int*>(raw);
  ++*frames;
  return _Unwind_GetIP(context) == 0 || *frames > kMostFrames ? _URC_END_OF_STACK : _URC_NO_REASON;
}

constexpr long kMostSteps = 40'000;
[[maybe_unused]] std::atomic<bool> g_steps{
    false};  // trap after every single instruction of this thread

void sample([[maybe_unused]] int signal, siginfo_t* /*info*/, [[maybe_unused]] void* context) {
#if defined(__x86_64__)
  if (signal == SIGTRAP && context != nullptr) {
    constexpr greg_t kTrapFlag = 0x100;
    greg_t& flags = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
    if (!g_steps || g_samples > kMostSteps) {
      flags &= ~kTrapFlag;
      return;
    }
    flags |= kTrapFlag;
  }
#endif
  int frames = 0;
  _Unwind_Backtrace(&count_frame, &frames);
  ++g_samples;
  g_endless += frames > kMostFrames ? 1 : 0;
}

void sample_on(int signal) {
  sample(signal, nullptr, nullptr);  // what it needs is loaded now, not in the handler
  g_samples = 0;
  struct sigaction action {};
  action.sa_sigaction = &sample;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(signal, &action, nullptr);
}

// Every kind of switch: to fresh stacks and used ones, to the base and back.
void switch_about() {
  WaitGroup group;
  auto c = make_chan<int>();
  for (int i = 0; i < 8; ++i) {
    group.go([c] { (void)c.recv(); });
  }
  yield();
  go(GoOptions{.stack_size = 40 * 1024}, [] { yield(); });
  c.close();
  group.wait();
  sleep(std::chrono::nanoseconds(1));
}

TEST(Profiler, samples_by_a_timer) {
  auto child = in_child([] {
    sample_on(SIGPROF);
    (void)run([] {
      switch_about();  // what the C++ library calls is bound now, too
      sigevent event{};
      event.sigev_notify = SIGEV_THREAD_ID;
      event.sigev_signo = SIGPROF;
      event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
      timer_t timer;
      if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        std::_Exit(test::emulated() ? 0 : 1);  // an emulator may have none
      }
      long const wanted = test::emulated() ? 200 : test::scaled(8000);
      // An emulator would begin some calls again for ever, at each signal.
      long const period_ns = test::emulated() ? 1'000'000 : 40'000;
      itimerspec const every{{0, period_ns}, {0, period_ns}};
      timer_settime(timer, 0, &every, nullptr);
      auto const limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (g_samples < wanted && std::chrono::steady_clock::now() < limit) {
        switch_about();
      }
      timer_delete(timer);
      std::fprintf(stderr, "%ld samples\n", g_samples.load());
      std::_Exit(g_samples > 100 && g_endless == 0 ? 0 : 2);
    });
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

// Not by ThreadSanitizer for users: it is told of a switch some instructions before, and takes the
// handlers' frames in between for the next goroutine's.
#if defined(__x86_64__) && !defined(HAMGAM_CONTEXT_UCONTEXT) && !HAMGAM_TSAN

void step() {
  g_steps = true;
  raise(SIGTRAP);
}
void stop_stepping() { g_steps = false; }

TEST(Profiler, samples_at_every_instruction) {
  auto child = in_child(
      [] {
        sample_on(SIGTRAP);
        (void)run([] {
          // In short pieces: whoever does not come to a scheduling point loses the others to
          // another worker.
          WaitGroup group;
          for (int i = 0; i < 40; ++i) {
            auto c = make_chan<int>();
            group.go([c] { (void)c.recv(); });
            group.go([] { yield(); });
            step();
            yield();  // to fresh stacks
            stop_stepping();
            c.close();
            step();
            yield();  // to one that was used
            stop_stepping();
          }
          step();
          group.wait();
          sleep(std::chrono::nanoseconds(1));  // to the base
          stop_stepping();
          std::fprintf(stderr, "%ld samples, %ld endless\n", g_samples.load(), g_endless.load());
          std::_Exit(g_samples > 10'000 && g_endless == 0 ? 0 : 2);
        });
      },
      {"HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

#endif

}  // namespace
}  // namespace hamgam
