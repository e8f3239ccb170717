// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Descriptor: what the library knows of an open socket. Handles (TcpConn...) refer to it.
//
// Life. handles: how many refer to it; the last one to go closes it and gives the record back.
// users: how many are in a system call on the number, and whether it is closed. Who closes sets the
// bit, wakes all, and whoever makes the count zero after that, mostly the closer, closes the
// number: so a number is never used again under a running call. A sleeper is no user; after a close
// with nobody in a call the number, and a listener's port, are free at once. Records are never
// freed: an event may come late. It carries the record's number and generation; one of a former
// generation is dropped. (Should it slip through while the record is given back, the successor
// makes one system call for nothing.)
//
// Waiting. Call first, sleep on EAGAIN. Each direction has a word, and its sleepers are in the
// parking lot under the word's address:
//   kReady     set by an event or a close; cleared by whoever has the direction, before its call
//   kWaiters   set by a sleeper under the bucket's lock; cleared under it by who wakes all
//   kLast      set by an event: the stream is at its end, or broken, or has urgent data; stays
// No wake-up is lost: what becomes ready before the call is seen by the call; what does so later is
// an event (the first one tells the state at the registration), which sets kReady after it was
// cleared, and a sleeper looks under the bucket's lock, under which it queues itself:
//   [net.1] event:   RMW kReady;           if kWaiters was set, lock the bucket and wake
//   [net.2] sleeper: lock, RMW kWaiters;   if kReady was set, do not sleep
// Closing sets the bit in `users`, moving a deadline stores it, both before an RMW of the word, and
// a sleeper looks at both after its own: of two RMWs on one word the later sees the earlier.
// test/model/net_direction.py searches all interleavings.
//
// A read of TCP that got less than it asked for has taken all there was, and what comes later is an
// event. So the next one need not ask the kernel to hear EAGAIN: it sleeps at once, if there was no
// event (`drained`). Not after kLast: the end may have come with the bytes, in the event that was
// cleared before the read; and a read stops before urgent data. (As tokio and libuv do it.) One
// that gives up asks before: an event may be on its way.
// One reader and one writer at a time (`busy`): the readiness is theirs alone; bytes of one
// write_all stay together.
//
// Deadlines are data: a sleeper's timer is set to the one that it saw; who moves it wakes the
// sleepers, who look again. There is a timer only while somebody sleeps with a deadline.
//
// peer_gone: a stop_source in `gone`. Whoever takes it out, of those who hear of the hang-up and
// the one who closes the number, starts the goroutine that requests the stop. Who puts it there
// asks for the state afterwards: an event that came before is in that answer, a later one finds it.
// Both are under the lock, under which a late event sees, too, that the generation is another.
//
// Rejected: a word nil/ready/wait/goroutine without a lock, as in Go. The parking lot brings plain
// threads, stop_tokens and several sleepers, and its lock is taken only where one sleeps or is
// woken.

#include <array>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <system_error>

#include "base/cache_line.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/mutex.h"
#include "os/clock.h"
#include "os/spin_lock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct NetDirection {
  static constexpr std::uint32_t kReady = 1;
  static constexpr std::uint32_t kWaiters = 2;
  static constexpr std::uint32_t kLast = 4;

  atomic<std::uint32_t> word{0};
  atomic<Nanos> deadline{kForever};
  Mutex busy;
  // By whoever has the direction.
  bool registered = false;  // known to be
  bool drained = false;
};

struct NetGone;

// What ends one call's waits besides.
struct NetLimit {
  Nanos deadline = kForever;
  const std::stop_token* token = nullptr;
  bool gave_up = false;  // out: for one of these
};

struct NetDescriptor {
  atomic<std::uint32_t> handles{0};
  atomic<std::uint32_t> generation{0};
  std::uint32_t index = 0;
  int fd = -1;
  const char* kind = "";
  atomic<std::uint64_t> users{kClosed};
  SpinLock lock;            // of `registered` and `gone`
  bool registered = false;  // in the epoll
  NetDirection read;
  NetDirection write;
  atomic<NetGone*> gone{nullptr};  // changed under the lock
  // Among those that are given back; or of a copy of another library's number, see foreign.cpp.
  NetDescriptor* next = nullptr;
  int copy_of = -1;
  std::uint32_t waiting = 0;
  // The peer's address, IPv4's or IPv6's, which the kernel forgets when the connection breaks.
  // Written before there is a handle.
  static constexpr std::size_t kPeer = 28;
  std::array<std::byte, kPeer> peer{};
  std::uint8_t peer_size = 0;  // 0: none, or not known

  static constexpr std::uint64_t kClosed = std::uint64_t{1} << 63;
};

// Takes the descriptor over. Null: no memory.
NetDescriptor* open_descriptor(int fd, const char* kind) noexcept;
void release_descriptor(NetDescriptor* d) noexcept;

[[nodiscard]] bool is_closed(const NetDescriptor& d) noexcept;
// False: it was closed already.
bool close_descriptor(NetDescriptor& d) noexcept;
// Marks it closed and hands the number to the caller: -1 if it is closed or in a call.
int take_number(NetDescriptor& d) noexcept;

// A user of the number, unless it is closed.
bool enter_descriptor(NetDescriptor& d) noexcept;
void leave_descriptor(NetDescriptor& d) noexcept;

void move_deadline(NetDirection& direction, Nanos deadline) noexcept;

// Takes the direction for the caller alone. False: gave up.
bool take_direction(NetDirection& direction, NetLimit& limit);

// Makes room for call(argument, fd) -> result, or -1 and errno: once, and again whenever the
// direction may be ready, as long as errno is EAGAIN. The caller has the direction. -1: see
// `error`, which is empty if the limit ended it. A result below `drains_below` tells that there is
// no more for now.
using NetCall = long (*)(void* argument, int fd) noexcept;
long operate(NetDescriptor& d, NetDirection& direction, NetCall call, void* argument,
             NetLimit& limit, std::error_code& error, long drains_below = 0);

// Stops when the peer has hung up or the number is closed. By a user. Throws std::bad_alloc.
std::stop_token watch_peer(NetDescriptor& d, std::error_code& error);

// Sleeps until then, whatever becomes ready, unless it is closed or the deadline is over. The
// caller has the direction. False: gave up.
bool nap(NetDescriptor& d, NetDirection& direction, NetLimit& limit, Nanos until);

// For a descriptor of others. False: gave up, or `error`.
bool wait_foreign(int fd, bool write, NetLimit& limit, std::error_code& error);

}  // namespace hamgam::inline HAMGAM_ABI::detail
