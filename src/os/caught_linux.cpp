// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "hamgam/detail/atomic.h"
#include "os/caught.h"
#include "os/thread.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

struct Caught {
  atomic<std::uint32_t> count{0};
  atomic<bool> ours{false};  // for the child of a fork
  struct sigaction former {};
};

constinit Caught g_caught[kSignals + 1] = {};
constinit atomic<std::uint32_t> g_at_work{0};  // handlers
constinit atomic<pid_t> g_process{0};
void (*g_told)() noexcept = nullptr;

void on_signal(int signal) {
  g_at_work.fetch_add(1, kSeqCst);  // [caught.1] seq_cst, pairs with [caught.2]; first of all
  int const saved = errno;
  Caught& caught = g_caught[signal];
  if (g_process.load(kRelaxed) == getpid()) {  // relaxed: stored before the first is caught
    caught.count.fetch_add(1, kRelaxed);       // relaxed: g_told publishes it, and [caught.3]
    g_told();
  } else {  // a child; of vfork, until it executes something, with our memory
    sigaction(signal, &caught.former, nullptr);
    raise(signal);  // as soon as this returns
  }
  errno = saved;
  g_at_work.fetch_sub(1, kRelease);  // [caught.3] release, pairs with [caught.2]: the count
}

// In the child of a fork, by its only thread.
void forget_all() noexcept {
  for (int signal = 1; signal <= kSignals; ++signal) {
    Caught& caught = g_caught[signal];
    if (caught.ours.exchange(false, kRelaxed)) {  // relaxed: there is one thread
      sigaction(signal, &caught.former, nullptr);
    }
  }
}

bool is_ours(int signal) noexcept {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == on_signal;
}

}  // namespace

const char* why_not_caught(int signal) noexcept {
  if (signal < 1 || signal > kSignals) {
    return "there is no such signal";
  }
  switch (signal) {
    case SIGKILL:
    case SIGSTOP:
      return "no program can catch it";
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT:
      return "it is a fault of the code that gets it, which cannot go on";
    default:
      // The C library uses those below SIGRTMIN.
      return signal >= 32 && signal < SIGRTMIN ? "it is the C library's own" : nullptr;
  }
}

const char* signal_name(int signal, char (&buffer)[24]) noexcept {
  switch (signal) {
    case SIGHUP:
      return "hangup";
    case SIGINT:
      return "interrupt";
    case SIGQUIT:
      return "quit";
    case SIGUSR1:
      return "user defined signal 1";
    case SIGUSR2:
      return "user defined signal 2";
    case SIGPIPE:
      return "broken pipe";
    case SIGALRM:
      return "alarm clock";
    case SIGTERM:
      return "terminated";
    default:
      std::snprintf(buffer, sizeof buffer, "signal %d", signal);
      return buffer;
  }
}

int catch_signal(int signal, void (*told)() noexcept) noexcept {
  Caught& caught = g_caught[signal];
  // relaxed throughout: callers come one after another, and sigaction publishes
  if (g_process.load(kRelaxed) == 0) {
    g_told = told;
    g_process.store(getpid(), kRelaxed);
    if (int const error = pthread_atfork(nullptr, nullptr, &forget_all); error != 0) {
      g_process.store(0, kRelaxed);
      return error;
    }
  }
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  struct sigaction former {};
  if (sigaction(signal, nullptr, &former) != 0) {
    return errno;
  }
  // What is ours already somebody has put back after we had gone.
  if ((former.sa_handler != on_signal && sigaction(signal, nullptr, &caught.former) != 0) ||
      sigaction(signal, &action, nullptr) != 0) {
    return errno;
  }
  caught.ours.store(true, kRelaxed);
  return 0;
}

void let_signal_go(int signal) noexcept {
  Caught& caught = g_caught[signal];
  caught.ours.store(false, kRelaxed);  // relaxed: the caller's alone
  if (is_ours(signal)) {
    sigaction(signal, &caught.former, nullptr);
  }
}

void await_handlers() noexcept {
  // [caught.2] seq_cst, pairs with [caught.1] and [caught.3]: their counts
  while (g_at_work.load(kSeqCst) != 0) {
    yield_thread();
  }
}

std::uint32_t take_caught(int signal) noexcept {
  return g_caught[signal].count.exchange(0, kRelaxed);  // relaxed: see on_signal
}

void send_again(int signal) noexcept {
  struct sigaction now {};
  // A handler that somebody put before ours, and that passed it on to us, has had it.
  if (sigaction(signal, nullptr, &now) == 0 &&
      now.sa_handler == g_caught[signal].former.sa_handler) {
    kill(getpid(), signal);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
