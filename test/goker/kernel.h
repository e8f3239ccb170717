// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The faults of Go programs by which others have measured what finds deadlocks and leaks: the
// blocking kernels of GoKer (Yuan and others, "GoBench: A Benchmark Suite of Real-World Go
// Concurrency Bugs", CGO 2021), written anew. Each is what is left of a real program, in which
// somebody waits for ever, at times or always, and how the program was mended.
//
// A kernel returns when the Go program's test would, or never; what it started may go on. Whatever
// two may use lives on the heap, shared by those who use it. Sleeps are those of GoKer, but for
// long ones, which are some milliseconds here.

#include <cstdint>
#include <span>

namespace hamgam::goker {

// What somebody waits for that does not come: GoKer's sub-types, but where the program says else.
enum class Kind : std::uint8_t {
  kChannel,
  kChannelAndCond,
  kChannelAndContext,
  kChannelAndLock,
  kChannelAndWaitGroup,
  kCond,
  kWaitGroup,
  kLockOrder,    // two locks, taken in different orders
  kLockedTwice,  // a lock, by who has it
  kReadTwice,    // a lock to read, by who reads, while a writer waits
  kLeftLocked,   // a lock, by who has ended (to GoKer it is locked twice)
};

struct Kernel {
  const char* name;  // the program and the number of its issue
  Kind kind;
  void (*run)(bool is_mended);
};

std::span<const Kernel> cockroach();
std::span<const Kernel> etcd();
std::span<const Kernel> grpc();
std::span<const Kernel> kubernetes();
std::span<const Kernel> moby();
std::span<const Kernel> others();

}  // namespace hamgam::goker
