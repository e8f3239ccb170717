// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// From "host:port" to addresses.

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
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

// Asks the C library; blocks the thread if the host is a name. Throws std::bad_alloc.
std::error_code look_up(const HostPort& parts, Transport transport, int flags,
                        std::vector<Address>& all);

// The addresses of a host that is a number, or none. Empty: it is a name. Throws Error if the port
// is none.
std::vector<Address> resolve_numeric(std::string_view host_port, Transport transport);

// What the host stands for. Empty: the limit gave up. Throws Error.
std::vector<Address> resolve_within(std::string_view host_port, Transport transport,
                                    detail::NetLimit& limit);
// The same without a limit; at least one.
std::vector<Address> resolve_now(std::string_view host_port, Transport transport);

// open(address), with the first that this machine can do with. Fails as the first does.
template <class Open>
auto open_first(const std::vector<Address>& all, Open open) {
  std::exception_ptr first;
  for (std::size_t i = 0; i < all.size(); ++i) {
    try {
      return open(all[i]);
    } catch (const Error& e) {
      if (e.code() != std::errc::address_family_not_supported &&
          e.code() != std::errc::address_not_available) {
        throw;
      }
      first = first != nullptr ? first : std::current_exception();
    }
  }
  std::rethrow_exception(first);
}

// For tests.
struct LookupCounts {
  unsigned running = 0;  // goroutines that ask
  unsigned queued = 0;   // questions that wait for their turn
  unsigned waiting = 0;  // callers
};
LookupCounts count_lookups() noexcept;
inline constexpr unsigned kMostLookups = 32;

}  // namespace hamgam::inline HAMGAM_ABI::net
