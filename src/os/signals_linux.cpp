// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "os/memory.h"
#include "os/no_sigpipe.h"
#include "os/signals.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kSignalStack = 64 * 1024;
constexpr unsigned long kMinSignalStack = 51;  // AT_MINSIGSTKSZ; not in older headers

FaultHook g_hook = nullptr;
FaultHook g_last_hook = nullptr;
struct sigaction g_former_segv;
struct sigaction g_former_bus;
thread_local void* t_signal_stack = nullptr;  // with its guard

// Where the kernel would have put the frame of a signal. It names no address if it can't.
const void* frame_of_signal([[maybe_unused]] const void* context) noexcept {
  std::uintptr_t const size = std::max(getauxval(kMinSignalStack), 4096UL);
#if defined(__x86_64__)
  auto const& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(registers[REG_RSP]) - size);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.sp -
                                       size);
#else
  return nullptr;
#endif
}

void (*g_told)() noexcept = nullptr;
pid_t g_process = 0;
struct sigaction g_former_told;

void on_told(int signal) {
  int const saved = errno;
  if (getpid() == g_process) {
    g_told();
  } else {  // a child
    sigaction(signal, &g_former_told, nullptr);
    raise(signal);  // as soon as this returns
  }
  errno = saved;
}

void on_fault(int signal, siginfo_t* info, void* context) {
  g_hook(info->si_code == SI_KERNEL ? frame_of_signal(context) : info->si_addr);
  const struct sigaction& former = signal == SIGBUS ? g_former_bus : g_former_segv;
  if ((former.sa_flags & SA_SIGINFO) != 0) {
    former.sa_sigaction(signal, info, context);
  } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
    former.sa_handler(signal);
  } else {
    g_last_hook(info->si_addr);
    std::signal(signal, SIG_DFL);  // returning runs the faulting instruction again, which now kills
    if (info->si_code <= 0) {      // but there is none: somebody sent it
      raise(signal);
    }
  }
}

}  // namespace

void install_fault_hook(FaultHook hook, FaultHook last) noexcept {
  g_hook = hook;
  g_last_hook = last;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &g_former_segv);
  sigaction(SIGBUS, &action, &g_former_bus);
}

void unblock_faults() noexcept {
  sigset_t faults;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGBUS);
  (void)pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
}

bool give_signal_stack() noexcept {
  stack_t current{};
  if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) == 0) {
    return true;
  }
  auto* const start = static_cast<char*>(reserve_memory(page_size() + kSignalStack));
  if (start == nullptr) {
    return false;
  }
  (void)install_guard(start, page_size());
  stack_t fresh{};
  fresh.ss_sp = start + page_size();
  fresh.ss_size = kSignalStack;
  t_signal_stack = start;
  return sigaltstack(&fresh, nullptr) == 0;
}

void drop_signal_stack() noexcept {
  if (t_signal_stack != nullptr) {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    release_memory(t_signal_stack, page_size() + kSignalStack);
    t_signal_stack = nullptr;
  }
}

bool install_signal_hook(int signal, void (*told)() noexcept) noexcept {
  g_told = told;
  g_process = getpid();
  struct sigaction action {};
  action.sa_handler = on_told;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  struct sigaction former {};
  if (sigaction(signal, nullptr, &former) != 0) {
    return false;
  }
  if (former.sa_handler != on_told) {
    g_former_told = former;
  }
  return sigaction(signal, &action, nullptr) == 0;
}

void write_error(std::string_view text) noexcept {
  while (!text.empty()) {
    ssize_t const written = write(STDERR_FILENO, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EAGAIN) {
      pollfd standard_error{STDERR_FILENO, POLLOUT, 0};
      poll(&standard_error, 1, -1);
    } else if (written == 0 || errno != EINTR) {
      return;
    }
  }
}

namespace {

// Standard error, written to without waiting. That it has room does not say for how much, and what
// it has another process may take: so a pipe or a terminal is opened once more, as one that does
// not wait, which the program's own must not become; it is shared with others. A socket needs no
// more than a flag, and files take what they get.
class UnwaitingError {
 public:
  UnwaitingError() noexcept {
    struct stat status {};
    if (fstat(STDERR_FILENO, &status) == 0) {
      is_socket_ = S_ISSOCK(status.st_mode);
      if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
        own_ = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
      }
    }
  }
  ~UnwaitingError() {
    if (own_ >= 0) {
      close(own_);
    }
  }
  UnwaitingError(const UnwaitingError&) = delete;
  UnwaitingError& operator=(const UnwaitingError&) = delete;

  [[nodiscard]] int number() const noexcept { return own_ >= 0 ? own_ : STDERR_FILENO; }
  // Where it could not be opened: a pipe that has room has room for that much.
  ssize_t write(std::string_view text) const noexcept {
    std::size_t const size = std::min<std::size_t>(text.size(), PIPE_BUF);
    return is_socket_ ? send(STDERR_FILENO, text.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : ::write(number(), text.data(), size);
  }

 private:
  int own_ = -1;
  bool is_socket_ = false;
};

}  // namespace

bool write_error_within(std::string_view text, Nanos patience) noexcept {
  NoSigPipe const quiet;  // what else is told must not be lost with it
  UnwaitingError const standard_error;
  Nanos end = now() + patience;
  while (!text.empty()) {
    pollfd room{standard_error.number(), POLLOUT, 0};
    Nanos const left = std::max<Nanos>(0, end - now());
    int const ready = poll(&room, 1, static_cast<int>(left / kMillisecond));
    if (ready < 0 && errno == EINTR && left != 0) {
      continue;  // a write would wait
    }
    if (ready <= 0) {
      return false;
    }
    ssize_t const written = standard_error.write(text);
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
      end = now() + patience;
    } else if (written < 0 && errno == EAGAIN && left != 0) {
      poll(nullptr, 0, 1);  // room for less than a terminal wants
    } else if (written == 0 || left == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

void write_error(unsigned long long number) noexcept {
  char digits[24];
  char* at = digits + sizeof digits;
  *--at = '\0';
  do {
    *--at = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  write_error(at);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
