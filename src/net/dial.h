// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// How connections come to be.

#include <string_view>
#include <vector>

#include "net/descriptor.h"
#include "net/number.h"

namespace hamgam::inline HAMGAM_ABI::net {

void set_up_keep_alive(int fd, const KeepAlive& k) noexcept;

// The addresses of a host that is a number, or none. Empty: it is a name. Throws Error if the port
// is none.
std::vector<Address> resolve_numeric(std::string_view host_port);
// What the host's name stands for. Empty: the limit gave up. Throws Error.
std::vector<Address> resolve_within(std::string_view host_port, detail::NetLimit& limit);

// To the first of the addresses that is to be had. Null: see `error`, or the limit gave up.
detail::NetDescriptor* dial_addresses(const std::vector<Address>& addresses,
                                      const DialOptions& options, detail::NetLimit& limit,
                                      std::error_code& error);
detail::NetDescriptor* dial_tcp(std::string_view host_port, const DialOptions& options,
                                detail::NetLimit& limit, std::error_code& error);

}  // namespace hamgam::inline HAMGAM_ABI::net
