// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Descriptors of others: they are waited for by a copy of the number, as the kernel knows a
// registration by file and number, so that others may do with the number what they like meanwhile.
//
// All who wait for one file at a time, in whatever direction, share one copy. It is found by the
// number that it is a copy of; the kernel tells whether that is the same file still, for the number
// may have been used again. Where it does not tell, or if it is another, the waiter makes a copy of
// its own, which is the one to be found from then on. The last waiter closes it: a copy that is
// kept would keep the file open.
//
// A copy is edge-triggered; the level is poll()'s. Waiters of one direction take it in turns, so
// that no edge is taken by one who clears it for another; and each asks anew before it sleeps, the
// one who made the copy, too: others may have it registered already and their edge be cleared.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "net/descriptor.h"
#include "net/number.h"
#include "os/epoll.h"
#include "os/fork.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

struct Copies {
  SpinLock lock;
  NetDescriptor* first = nullptr;  // the latest one
};

constexpr unsigned kTables = 64;
constinit Copies g_copies[kTables];

Copies& copies_of(int fd) noexcept { return g_copies[static_cast<unsigned>(fd) % kTables]; }

// Null: nobody waits for such a number.
NetDescriptor* find_copy(int fd) noexcept {
  Copies& copies = copies_of(fd);
  std::lock_guard const guard(copies.lock);
  NetDescriptor* d = copies.first;
  while (d != nullptr && d->copy_of != fd) {
    d = d->next;
  }
  if (d != nullptr) {
    ++d->waiting;
  }
  return d;
}

// Null: see `error`.
NetDescriptor* make_copy(int fd, std::error_code& error) noexcept {
  TsanIgnore const unseen;
  int const copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    error = std::error_code(errno, std::generic_category());
    return nullptr;
  }
  NetDescriptor* d = open_descriptor(copy, "descriptor");
  if (d == nullptr) {
    ::close(copy);
    error = std::make_error_code(std::errc::not_enough_memory);
    return nullptr;
  }
  Copies& copies = copies_of(fd);
  std::lock_guard const guard(copies.lock);
  d->copy_of = fd;
  d->waiting = 1;
  d->next = copies.first;
  copies.first = d;
  return d;
}

void leave_copy(NetDescriptor* d) noexcept {
  {
    Copies& copies = copies_of(d->copy_of);
    std::lock_guard const guard(copies.lock);
    if (--d->waiting != 0) {
      return;
    }
    NetDescriptor** link = &copies.first;
    while (*link != d) {
      link = &(*link)->next;
    }
    *link = d->next;
  }
  release_descriptor(d);
}

struct Ask {
  short events;
};

long call_ask(void* raw, int fd) noexcept {
  pollfd one{fd, static_cast<Ask*>(raw)->events, 0};
  int const count = poll(&one, 1, 0);
  if (count == 0) {
    errno = EAGAIN;
    return -1;
  }
  return count;
}

}  // namespace

bool wait_foreign(int fd, bool write, NetLimit& limit, std::error_code& error) {
  error.clear();
  Ask ask{static_cast<short>(write ? POLLOUT : POLLIN | POLLRDHUP)};
  pollfd now_is{fd, ask.events, 0};
  if (poll(&now_is, 1, 0) > 0 && (now_is.revents & POLLNVAL) == 0) {
    return true;
  }
  if (limit.deadline != kForever && limit.deadline <= now()) {
    limit.gave_up = true;
    return false;
  }
  if (is_forked_child()) {
    refuse_in_child();  // the epoll is the parent's, too
  }
  NetDescriptor* d = find_copy(fd);
  if (d != nullptr && !is_same_file(fd, d->fd)) {
    leave_copy(d);
    d = nullptr;
  }
  if (d == nullptr) {
    d = make_copy(fd, error);
    if (d == nullptr) {
      return false;
    }
  }
  struct Leave {
    NetDescriptor* d;
    ~Leave() { leave_copy(d); }
  } const leave{d};
  NetDirection& direction = write ? d->write : d->read;
  net::Directed const directed(direction, limit);
  if (!directed) {
    return false;
  }
  bool const ready = operate(*d, direction, &call_ask, &ask, limit, error) >= 0;
  if (error == std::errc::operation_not_permitted) {
    error.clear();
    return true;  // a file: always ready
  }
  return ready;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
