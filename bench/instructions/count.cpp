// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// count OPS NAME: runs `OPS NAME` and prints the instructions of one operation, and how many of
// them were locked (a lock prefix, an exchange with memory, mfence); medians of kSteps steps. The
// numbers are those of the program, whatever else the machine does.
//
// It follows the program by ptrace, one instruction after the other. Not by callgrind, because that
// - finds calls by the stack pointer, which here jumps to other stacks: of what is asked for, half
// is
//   missing (355 of 737 instructions of a round trip over two channels);
// - can't tell a locked instruction from another;
// - has no restartable sequences, thus counts paths that no user takes.
//
// What makes the numbers exact:
// - One worker (HAMGAM_PROCS=1), and from the first trap on only the thread that came to it: the
//   others are stopped for good. Otherwise the monitor would take a worker that is that slow for
//   one that hangs, and the keeper of the time would come in between.
// - Each step is an interruption, so no restartable sequence would ever end. Before the thread goes
//   on, the word that tells the kernel of the sequence is cleared: as nobody else runs it is not
//   interrupted in earnest.
// - Addresses are not randomised, so hashes of them are the same each time; and the C library takes
//   its functions for the plainest processor, not those for this one.
// - A reading of the clock counts as kClock: the kernel's page, where it is done, goes in circles
//   when a tick of the clock comes in between.
//
// Ends with 0, 1 (the program failed), or 77: this machine can't, and the line says why.
#include <cstdio>

#ifndef __x86_64__

int main() {
  std::puts("counts instructions of x86-64 only");
  return 77;
}

#else

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "steps.h"

namespace {

constexpr int kCannot = 77;
constexpr unsigned kSecondsAtMost = 60;
constexpr unsigned char kTrap = 0xcc;
constexpr long kClock = 40;  // about what it takes undisturbed
constexpr const char* kPlainest = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-ERMS,-FSRM";

using Code = std::array<unsigned char, 16>;  // at least one instruction

pid_t program = -1;

[[noreturn]] void give_up(int status, const char* what) {
  std::printf("%s%s%s\n", what, errno != 0 ? ": " : "", errno != 0 ? std::strerror(errno) : "");
  if (program > 0) kill(program, SIGKILL);
  std::exit(status);
}

bool read_memory(pid_t thread, unsigned long address, void* into, std::size_t bytes) {
  iovec own{into, bytes};
  iovec other{reinterpret_cast<void*>(address), bytes};
  return process_vm_readv(thread, &own, 1, &other, 1, 0) == static_cast<ssize_t>(bytes);
}

// It has a lock prefix, or exchanges a register with memory, or is an mfence.
bool is_locked(const Code& code) {
  constexpr std::string_view kPrefixes = "\x66\x67\xf2\xf3\x2e\x36\x3e\x26\x64\x65";
  std::size_t at = 0;
  while (at < 8 && (kPrefixes.find(static_cast<char>(code[at])) != kPrefixes.npos ||
                    (code[at] & 0xf0) == 0x40)) {
    ++at;
  }
  bool const is_exchange = (code[at] == 0x86 || code[at] == 0x87) && code[at + 1] < 0xc0;
  bool const is_mfence = code[at] == 0x0f && code[at + 1] == 0xae && code[at + 2] == 0xf0;
  return code[at] == 0xf0 || is_exchange || is_mfence;
}

// Starts the program, stopped before its first instruction, and follows its threads.
void start(char** arguments) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) give_up(kCannot, "pipe");
  program = fork();
  if (program < 0) give_up(kCannot, "fork");
  if (program == 0) {
    personality(ADDR_NO_RANDOMIZE);
    setenv("HAMGAM_PROCS", "1", 1);
    setenv("GLIBC_TUNABLES", kPlainest, 1);
    close(ready[1]);
    char byte = 0;
    (void)!read(ready[0], &byte, 1);  // until we are followed
    execv(arguments[0], arguments);
    _exit(127);
  }
  close(ready[0]);
  if (ptrace(PTRACE_SEIZE, program, 0, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0) {
    give_up(kCannot, "ptrace is refused here");
  }
  close(ready[1]);
}

// Lets all threads run until one comes to a trap; then stops the others.
pid_t run_to_trap() {
  std::set<pid_t> threads{program};
  std::set<pid_t> stopped;
  pid_t chosen = -1;
  do {
    int status = 0;
    pid_t const thread = waitpid(-1, &status, __WALL);
    if (thread < 0) give_up(1, "the program has ended before its first step");
    if (!WIFSTOPPED(status)) {
      threads.erase(thread);
      continue;
    }
    threads.insert(thread);
    int const signal = WSTOPSIG(status);
    bool const is_event = (status >> 16) != 0;
    if (chosen >= 0) {
      stopped.insert(thread);
    } else if (signal == SIGTRAP && !is_event) {
      chosen = thread;
      stopped.insert(thread);
      for (pid_t const other : threads) {
        if (other != chosen) ptrace(PTRACE_INTERRUPT, other, 0, 0);
      }
    } else {
      ptrace(PTRACE_CONT, thread, 0, is_event ? 0 : signal);
    }
  } while (chosen < 0 ||
           !std::includes(stopped.begin(), stopped.end(), threads.begin(), threads.end()));
  return chosen;
}

struct Count {
  long instructions = 0;
  long locked = 0;
};

struct Range {
  unsigned long begin = 0;
  unsigned long end = 0;
  [[nodiscard]] bool contains(unsigned long at) const { return begin <= at && at < end; }
};

// Where the kernel's page is that reads the clock.
Range kernels_page(pid_t process) {
  std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    Range range;
    if (line.find("[vdso]") != line.npos &&
        std::sscanf(line.c_str(), "%lx-%lx", &range.begin, &range.end) == 2) {
      return range;
    }
  }
  return {};
}

// One thread, instruction by instruction.
class Stepper {
 public:
  explicit Stepper(pid_t thread) : thread_(thread), kernels_(kernels_page(thread)) {
    __ptrace_rseq_configuration area{};
    if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, thread, sizeof area, &area) < 0) {
      give_up(kCannot, "the kernel does not tell of restartable sequences");
    }
    long const barriers = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (area.rseq_abi_pointer == 0 || barriers < 0 ||
        (barriers & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0) {
      errno = 0;
      give_up(kCannot, "no restartable sequences here: other paths would be counted");
    }
    sequence_ = area.rseq_abi_pointer + 8;  // rseq_cs
  }

  // To the next trap.
  Count to_trap() {
    Count count;
    unsigned long before = 0;
    for (;;) {
      unsigned long const at = address();
      Code const code = code_at(at);
      if (code[0] == kTrap) break;
      if (kernels_.contains(at)) {
        if (!kernels_.contains(before)) count.instructions += kClock;
      } else if (at != before) {  // each round of a repeated one (rep movs) is a step
        ++count.instructions;
        if (is_locked(code)) ++count.locked;
      }
      before = at;
      step();
    }
    step();
    return count;
  }

 private:
  [[nodiscard]] unsigned long address() const {
    return static_cast<unsigned long>(
        ptrace(PTRACE_PEEKUSER, thread_, offsetof(user_regs_struct, rip), 0));
  }

  [[nodiscard]] Code code_at(unsigned long at) const {
    Code code{};
    // What follows the last instruction of a page may be nothing.
    if (!read_memory(thread_, at, code.data(), code.size()) &&
        !read_memory(thread_, at, code.data(), std::min(code.size(), 4096 - at % 4096))) {
      give_up(kCannot, "the program's memory can't be read");
    }
    return code;
  }

  void step() {
    unsigned long inside = 0;
    if (read_memory(thread_, sequence_, &inside, sizeof inside) && inside != 0) {
      ptrace(PTRACE_POKEDATA, thread_, sequence_, 0);
    }
    int signal = 0;
    for (;;) {
      ptrace(PTRACE_SINGLESTEP, thread_, 0, signal);
      int status = 0;
      if (waitpid(thread_, &status, __WALL) < 0 || !WIFSTOPPED(status)) {
        errno = 0;
        give_up(1, "the program has ended within a step");
      }
      signal = WSTOPSIG(status);
      if (signal == SIGTRAP) return;
    }
  }

  pid_t thread_;
  Range kernels_;
  unsigned long sequence_ = 0;
};

double median(std::vector<long> counts) {
  std::nth_element(counts.begin(), counts.begin() + kSteps / 2, counts.end());
  return static_cast<double>(counts[kSteps / 2]) / kOpsPerStep;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::puts("usage: count OPS NAME");
    return 2;
  }
  signal(SIGALRM, [](int) {
    kill(program, SIGKILL);
    _exit(1);
  });
  alarm(kSecondsAtMost);
  start(argv + 1);
  Stepper stepper(run_to_trap());
  std::vector<long> instructions;
  std::vector<long> locked;
  for (int i = 0; i < kSteps; ++i) {
    Count const count = stepper.to_trap();
    instructions.push_back(count.instructions);
    locked.push_back(count.locked);
  }
  kill(program, SIGKILL);
  std::printf("%.3f %.3f\n", median(instructions), median(locked));
}

#endif
