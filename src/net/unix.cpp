// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "net/number.h"

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::NetLimit;
using hamgam::detail::operate;
using hamgam::detail::TsanIgnore;

namespace {

constexpr std::size_t kMostFiles = 253;  // in one message, SCM_MAX_FD

// One byte, and with it a file.
struct Passing {
  int file;
  bool cut = false;  // there was no room for what came with the byte
};

long call_send(void* raw, int fd) noexcept {
  auto const& passing = *static_cast<Passing*>(raw);
  char byte = 0;
  iovec piece{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &passing.file, sizeof(int));
  return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

long call_receive(void* raw, int fd) noexcept {
  auto& passing = *static_cast<Passing*>(raw);
  char byte = 0;
  iovec piece{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(kMostFiles * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  TsanIgnore const unseen;
  ssize_t const got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got <= 0) {
    return got;
  }
  passing.cut = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    std::size_t const count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int file = -1;
      std::memcpy(&file, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      if (passing.file < 0) {
        passing.file = file;
      } else {
        ::close(file);
      }
    }
  }
  return got;
}

long pass(detail::NetDescriptor* d, bool sends, Passing& passing, std::error_code& e) noexcept {
  e.clear();
  if (d == nullptr) {
    e = make_error_code(Errc::closed);
    return -1;
  }
  try {
    NetLimit limit;
    auto& direction = sends ? d->write : d->read;
    Directed const directed(direction, limit);
    return operate(*d, direction, sends ? &call_send : &call_receive, &passing, limit, e);
  } catch (const std::bad_alloc&) {
    e = std::make_error_code(std::errc::not_enough_memory);
    return -1;
  }
}

}  // namespace

void UnixConn::send_fd(int fd, std::error_code& e) const noexcept {
  Passing passing{fd};
  (void)pass(d_, true, passing, e);
}

void UnixConn::send_fd(int fd) const {
  std::error_code error;
  send_fd(fd, error);
  if (error) {
    fail(error, "send_fd");
  }
}

int UnixConn::receive_fd(std::error_code& e) const noexcept {
  Passing passing{-1};
  if (pass(d_, false, passing, e) > 0 && passing.file < 0) {
    e = std::make_error_code(passing.cut ? std::errc::too_many_files_open : std::errc::bad_message);
  }
  return passing.file;
}

int UnixConn::receive_fd() const {
  std::error_code error;
  int const file = receive_fd(error);
  if (error) {
    fail(error, "receive_fd");
  }
  return file;
}

}  // namespace hamgam::inline HAMGAM_ABI::net
