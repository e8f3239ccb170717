// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// From "host:port" to addresses.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hamgam/net.h"
#include "net/descriptor.h"

namespace hamgam::inline HAMGAM_ABI::net {

// Services have a port for each: TCP's 514 is shell, UDP's is syslog.
enum class Transport : std::uint8_t { kTcp, kUdp };

struct HostPort {
  std::string host;  // empty: this one
  std::string port;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "host:port", "[v6]:port". Throws Error.
HostPort split(std::string_view text);

// Asks the C library; blocks the thread if the host is a name. 0, or getaddrinfo's error.
int look_up(const HostPort& parts, Transport transport, int flags, std::vector<Address>& all);

// The addresses of a host that is a number, or none. Empty: it is a name. Throws Error if the port
// is none.
std::vector<Address> resolve_numeric(std::string_view host_port, Transport transport);

// What the host stands for. Empty: the limit gave up. Throws Error.
std::vector<Address> resolve_within(std::string_view host_port, Transport transport,
                                    detail::NetLimit& limit);
// The same without a limit; at least one.
std::vector<Address> resolve_now(std::string_view host_port, Transport transport);

// For tests.
struct LookupCounts {
  unsigned running = 0;  // goroutines that ask
  unsigned queued = 0;   // questions that wait for their turn
  unsigned waiting = 0;  // callers
};
LookupCounts count_lookups() noexcept;
inline constexpr unsigned kMostLookups = 32;

}  // namespace hamgam::inline HAMGAM_ABI::net
